// Queries as pass 1 multiplies them, with the margin of their scores.
//
// q / t becomes elements of the rows' type: t the power of two that brings the largest element to 1..2
// (f32, f16, bf16), or that element over 127 (i8, for rows of bytes), or 1 where bytes then are the query.
// unit[q] = 1 / t; norms[q] = |q|, which the final scores of cosine need. i8: init[q] = -zero_point times the
// sum of the codes.
// point_margins: of queries that are multiplied as they are, with unit 1.
// limits: as row_constants.cu leaves them. Elements past dim are zero, up to out_stride.
// A warp a query, blocks of a multiple of 32 threads. Source: own.

#include "prepare.cuh"

namespace nearfield {
using f32 = float;
}

/// Strides in elements.
#define NEARFIELD_PREPARE_QUERIES(T)                                                              \
    extern "C" __global__ void prepare_queries_##T(                                               \
        const float* queries, nearfield::u64 stride, nearfield::u32 count, nearfield::u32 dim,    \
        nearfield::u32 metric, const float* limits, nearfield::T* out, nearfield::u64 out_stride, \
        float* unit, float* margin, double* norms) {                                              \
        using namespace nearfield;                                                                \
        const u32 q = blockIdx.x * (blockDim.x / kWarp) + warp_id();                              \
        if (q >= count) return;                                                                   \
        prepare(queries + q * stride, q,                                                          \
                {dim, metric, limits, out_stride, unit, margin, norms, 0, nullptr}, out);         \
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
    prepare(queries + q * stride, q,
            {dim, metric, limits, out_stride, unit, margin, norms, zero_point, init}, out);
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
