// How a query is prepared for a scan, by one warp: see prepare_queries.cu, and map_queries.cu, which maps it
// first. Source: own.
#pragma once

#include "canonical.cuh"
#include "margin.cuh"

namespace nearfield {

/// Where prepared queries go, and what their margins follow from. init is null but for queries in bytes.
struct Preparation {
    u32 dim;
    u32 metric;
    const float* limits;
    u64 stride;  // elements of a prepared query
    float* unit;
    float* margin;
    double* norms;
    i32 zero_point;
    i32* init;
};

/// The power of two at most x, from 2^-100 to 2^100.
static __device__ float power_below(float x) {
    const u32 bits = __float_as_uint(x) & 0x7f800000u;
    return __uint_as_float(max(27u << 23, min(227u << 23, bits)));
}

template <class T>
static __device__ void prepare(const float* q, u32 query, const Preparation& p, T* prepared) {
    T* const out = prepared + query * p.stride;
    // Under l2 a bias is divided by it as well.
    const float step =
        max(p.metric == kL2 ? 0x1p-40f : 0x1p-100f, power_below(warp_largest(q, p.dim)));
    double residual = 0.0;
    for (u32 k = lane_id(); k < p.stride; k += kWarp) {
        const float scaled = k < p.dim ? q[k] * (1.0f / step) : 0.0f;
        from_float(scaled, out[k]);
        const double off = static_cast<double>(scaled) - static_cast<double>(to_float(out[k]));
        residual += off * off;
    }
    const double t = static_cast<double>(step);
    residual = sqrt(warp_sum(residual));
    const double norm = sqrt(warp_ip(q, q, p.dim));
    if (lane_id() != 0) return;
    p.unit[query] = 1.0f / step;
    p.norms[query] = norm;
    // What is below float32's normal range may have been lost by the division.
    const Margin of = {norm / t, residual + 0x1p-120 * static_cast<double>(p.dim), t, true};
    p.margin[query] = margin_of(of, p.limits, p.dim, p.metric);
}

/// Every element is a whole number.
static __device__ bool is_whole(const float* q, u32 dim) {
    bool all = true;
    for (u32 k = lane_id(); k < dim; k += kWarp) {
        const float size = fabsf(q[k]);
        // Adding 2^23 leaves no bits for a fraction.
        all = all && (size + 0x1p23f) - 0x1p23f == size;
    }
    return __ballot_sync(kAllLanes, all) == kAllLanes;
}

static __device__ void prepare(const float* q, u32 query, const Preparation& p, i8* prepared) {
    i8* const out = prepared + query * p.stride;
    const float largest = warp_largest(q, p.dim);
    const double share = static_cast<double>(largest) / 127.0;
    const bool fits = largest <= 127.0f && is_whole(q, p.dim);
    const double step = fits ? 1.0 : share > 0x1p-60 ? share : 0x1p-60;
    const float inverse = static_cast<float>(1.0 / step);
    double residual = 0.0;
    i32 sum = 0;
    for (u32 k = lane_id(); k < p.stride; k += kWarp) {
        const float value = k < p.dim ? q[k] : 0.0f;
        const i32 code = max(-127, min(127, __float2int_rn(value * inverse)));
        out[k] = static_cast<i8>(code);
        sum += code;
        const double off = static_cast<double>(value) / step - static_cast<double>(code);
        residual += off * off;
    }
    residual = sqrt(warp_sum(residual));
    sum = warp_sum(sum);
    const double norm = sqrt(warp_ip(q, q, p.dim));
    if (lane_id() != 0) return;
    p.unit[query] = inverse;
    p.norms[query] = norm;
    p.init[query] = -p.zero_point * sum;
    p.margin[query] = margin_of({norm / step, residual, step, false}, p.limits, p.dim, p.metric);
}

}  // namespace nearfield
