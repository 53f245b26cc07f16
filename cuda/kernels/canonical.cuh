// Exact scores in the engine's one order: float64, element k in lane k % 32, lanes added pairwise.
//
// A warp has the 32 lanes of cpp/kernels/generic/exact.h, so a score is the same bits on a GPU as on every
// CPU. Every lane has the result. Cost: dim / 32 steps. Source: own.
#pragma once

#include "device.cuh"

namespace nearfield {

template <class A, class B>
static __device__ double warp_ip(const A* a, const B* b, u32 dim) {
    double sum = 0.0;
    for (u32 k = lane_id(); k < dim; k += kWarp) {
        // Both are float32, so their product is exact.
        sum += static_cast<double>(to_float(a[k])) * static_cast<double>(to_float(b[k]));
    }
    return warp_sum(sum);
}

template <class A, class B>
static __device__ double warp_l2(const A* a, const B* b, u32 dim) {
    double sum = 0.0;
    for (u32 k = lane_id(); k < dim; k += kWarp) {
        const double difference =
            static_cast<double>(to_float(a[k])) - static_cast<double>(to_float(b[k]));
        sum += difference * difference;
    }
    return warp_sum(sum);
}

/// The engine's key of a pair, larger is better. norm: |x|, for cosine.
template <class A, class B>
static __device__ double exact_key(const A* q, const B* x, u32 dim, u32 metric, double norm) {
    if (metric == kL2) return -warp_l2(q, x, dim);
    const double product = warp_ip(q, x, dim);
    if (metric == kIp) return product;
    return norm > 0.0 ? product / norm : 0.0;
}

/// The largest |x|; NaN counts as infinite.
template <class A>
static __device__ float warp_largest(const A* x, u32 dim) {
    float largest = 0.0f;
    for (u32 k = lane_id(); k < dim; k += kWarp) {
        const float size = fabsf(to_float(x[k]));
        largest = size <= largest ? largest : size == size ? size : infinity();
    }
    return warp_max(largest);
}

}  // namespace nearfield
