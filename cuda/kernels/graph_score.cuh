// What walks in a graph share: how near a row is, and keys of rows by nearness.
//
// Scores are float32 of rows as they are stored. Rows and queries are multiplied with `unit` first, a power
// of two that brings rows to about length 1, so that squares neither overflow nor vanish. Source: own.
#pragma once

#include "key.cuh"

namespace nearfield {

using f32 = float;

/// Rows as walks read them.
template <class T>
struct WalkRows {
    const T* elements;
    u64 stride;
    u32 dim, metric;
    float unit;
    const float* scale;  // 1 / |x|, for cosine

    /// Larger is nearer, never NaN. A warp; all lanes have it.
    __device__ float score(const float* q, u32 row) const {
        const T* const x = elements + row * stride;
        float sum = 0.0f;
        for (u32 k = lane_id(); k < dim; k += kWarp) {
            const float value = to_float(x[k]), off = (q[k] - value) * unit;
            sum = metric == kL2 ? fmaf(-off, off, sum) : fmaf(q[k] * unit, value * unit, sum);
        }
        sum = warp_sum(sum);
        if (metric == kCosine) sum *= scale[row];
        return sum == sum ? sum : -infinity();
    }
};

// The score, then the row (the smaller is the better), then one bit: its neighbours have not been looked at.
static __device__ __forceinline__ u64 fresh_key(float score, u32 row) {
    return (key_of(score, 0) >> 32 << 32) | static_cast<u64>(0x7fffffffu - row) << 1 | 1;
}
static __device__ __forceinline__ u32 row_of(u64 key) {
    return 0x7fffffffu - (static_cast<u32>(key) >> 1);
}

}  // namespace nearfield
