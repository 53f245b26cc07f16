// Queries as pass 1 multiplies them, with the margin of their scores.
//
// q / t becomes elements of the rows' type: t the power of two that brings the largest element to 1..2
// (f32, f16, bf16), or that element over 127 (i8, for rows of bytes), or 1 where bytes then are the query.
// unit[q] = 1 / t; norms[q] = |q|, which the final scores of cosine need. i8: init[q] = -zero_point times the
// sum of the codes.
// point_margins: of queries that are multiplied as they are, with unit 1.
// limits: as row_constants.cu leaves them. Elements past dim are zero, up to out_stride.
// A warp a query, blocks of a multiple of 32 threads. Source: own.

#include "canonical.cuh"
#include "margin.cuh"

namespace nearfield {
namespace {

using f32 = float;

/// The power of two at most x, from 2^-100 to 2^100.
__device__ float power_below(float x) {
    const u32 bits = __float_as_uint(x) & 0x7f800000u;
    return __uint_as_float(max(27u << 23, min(227u << 23, bits)));
}

template <class T>
__device__ void prepare(const float* q, u32 dim, u32 metric, const float* limits, T* out,
                        u64 out_stride, u32 query, float* unit, float* margin, double* norms) {
    // Under l2 a bias is divided by it as well.
    const float step = max(metric == kL2 ? 0x1p-40f : 0x1p-100f, power_below(warp_largest(q, dim)));
    double residual = 0.0;
    for (u32 k = lane_id(); k < out_stride; k += kWarp) {
        const float scaled = k < dim ? q[k] * (1.0f / step) : 0.0f;
        from_float(scaled, out[k]);
        const double off = static_cast<double>(scaled) - static_cast<double>(to_float(out[k]));
        residual += off * off;
    }
    residual = sqrt(warp_sum(residual));
    const double norm = sqrt(warp_ip(q, q, dim)), t = static_cast<double>(step);
    if (lane_id() != 0) return;
    unit[query] = 1.0f / step;
    norms[query] = norm;
    // What is below float32's normal range may have been lost by the division.
    const Margin of = {norm / t, residual + 0x1p-120 * static_cast<double>(dim), t, true};
    margin[query] = margin_of(of, limits, dim, metric);
}

/// Every element is a whole number.
__device__ bool is_whole(const float* q, u32 dim) {
    bool all = true;
    for (u32 k = lane_id(); k < dim; k += kWarp) {
        const float size = fabsf(q[k]);
        // Adding 2^23 leaves no bits for a fraction.
        all = all && (size + 0x1p23f) - 0x1p23f == size;
    }
    return __ballot_sync(kAllLanes, all) == kAllLanes;
}

__device__ void prepare(const float* q, u32 dim, u32 metric, const float* limits, i8* out,
                        u64 out_stride, u32 query, float* unit, float* margin, double* norms,
                        i32 zero_point, i32* init) {
    const float largest = warp_largest(q, dim);
    const double share = static_cast<double>(largest) / 127.0;
    const bool fits = largest <= 127.0f && is_whole(q, dim);
    const double step = fits ? 1.0 : share > 0x1p-60 ? share : 0x1p-60;
    const float inverse = static_cast<float>(1.0 / step);
    double residual = 0.0;
    i32 sum = 0;
    for (u32 k = lane_id(); k < out_stride; k += kWarp) {
        const float value = k < dim ? q[k] : 0.0f;
        const i32 code = max(-127, min(127, __float2int_rn(value * inverse)));
        out[k] = static_cast<i8>(code);
        sum += code;
        const double off = static_cast<double>(value) / step - static_cast<double>(code);
        residual += off * off;
    }
    residual = sqrt(warp_sum(residual));
    sum = warp_sum(sum);
    const double norm = sqrt(warp_ip(q, q, dim));
    if (lane_id() != 0) return;
    unit[query] = inverse;
    norms[query] = norm;
    init[query] = -zero_point * sum;
    margin[query] = margin_of({norm / step, residual, step, false}, limits, dim, metric);
}

}  // namespace
}  // namespace nearfield

/// Strides in elements.
#define NEARFIELD_PREPARE_QUERIES(T)                                                              \
    extern "C" __global__ void prepare_queries_##T(                                               \
        const float* queries, nearfield::u64 stride, nearfield::u32 count, nearfield::u32 dim,    \
        nearfield::u32 metric, const float* limits, nearfield::T* out, nearfield::u64 out_stride, \
        float* unit, float* margin, double* norms) {                                              \
        using namespace nearfield;                                                                \
        const u32 q = blockIdx.x * (blockDim.x / kWarp) + warp_id();                              \
        if (q >= count) return;                                                                   \
        prepare(queries + q * stride, dim, metric, limits, out + q * out_stride, out_stride, q,   \
                unit, margin, norms);                                                             \
    }                                                                                             \
    NEARFIELD_KERNEL(prepare_queries_##T)

NEARFIELD_PREPARE_QUERIES(f32)
NEARFIELD_PREPARE_QUERIES(f16)
NEARFIELD_PREPARE_QUERIES(bf16)

extern "C" __global__ void prepare_queries_i8(const float* queries, nearfield::u64 stride,
                                              nearfield::u32 count, nearfield::u32 dim,
                                              nearfield::u32 metric, const float* limits,
                                              nearfield::i8* out, nearfield::u64 out_stride,
                                              float* unit, float* margin, double* norms,
                                              nearfield::i32 zero_point, nearfield::i32* init) {
    using namespace nearfield;
    const u32 q = blockIdx.x * (blockDim.x / kWarp) + warp_id();
    if (q >= count) return;
    prepare(queries + q * stride, dim, metric, limits, out + q * out_stride, out_stride, q, unit,
            margin, norms, zero_point, init);
}
NEARFIELD_KERNEL(prepare_queries_i8)

/// Stride in elements.
#define NEARFIELD_POINT_MARGINS(T)                                                              \
    extern "C" __global__ void point_margins_##T(                                               \
        const nearfield::T* points, nearfield::u64 stride, nearfield::u32 count,                \
        nearfield::u32 dim, nearfield::u32 metric, const float* limits, float* margin) {        \
        using namespace nearfield;                                                              \
        const u32 p = blockIdx.x * (blockDim.x / kWarp) + warp_id();                            \
        if (p >= count) return;                                                                 \
        const double norm = sqrt(warp_ip(points + p * stride, points + p * stride, dim));       \
        if (lane_id() == 0) margin[p] = margin_of({norm, 0.0, 1.0, true}, limits, dim, metric); \
    }                                                                                           \
    NEARFIELD_KERNEL(point_margins_##T)

NEARFIELD_POINT_MARGINS(f32)
NEARFIELD_POINT_MARGINS(f16)
NEARFIELD_POINT_MARGINS(bf16)
