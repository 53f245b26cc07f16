// group_maxima.cuh with bounds instead of scores: for every query the largest of what 32 rows can have.
//
// bound = (init[q] + <q, x>) * scale[x] + bias[x] * unit[q] + off[x] * reach[q] + size[x] * lost[q], which no
// score exceeds: see byte_bounds.cu. bias may be null. A row whose bias is -infinity never counts.
// Tiles, grid and shared memory as there. Cost: two multiply-adds a score more. Source: own.
#pragma once

#include "group_maxima.cuh"

namespace nearfield {
namespace {

/// What a query multiplies constants of rows by.
struct BoundTerms {
    float unit, reach, lost;
};

struct Bounds {
    const float* scale;
    const float* bias;
    const float* size;
    const float* off;
    const float* unit;
    const float* reach;
    const float* lost;
    const i32* init;
    u32 queries;
    u32 rows;

    __device__ float of(float product, u32 row, const BoundTerms& query) const {
        if (row >= rows) return -infinity();
        float bound = product * scale[row];
        if (bias != nullptr) bound = fmaf(bias[row], query.unit, bound);
        bound = fmaf(off[row], query.reach, bound);
        return fmaf(size[row], query.lost, bound);
    }
    __device__ BoundTerms unit_of(u32 query) const {
        if (query >= queries) return {};
        return {unit[query], reach[query], lost[query]};
    }
    __device__ i32 init_of(u32 query) const { return query < queries ? init[query] : 0; }
};

}  // namespace
}  // namespace nearfield

/// Strides in bytes; depth: bytes of a row. Shared memory: 240 (QM + RN) bytes.
#define NEARFIELD_BOUND_MAXIMA(NAME, WAY, QM, RN)                                              \
    extern "C" __global__ void __launch_bounds__(256, 2) NAME(                                 \
        const nearfield::u8* queries, nearfield::u64 query_stride, nearfield::u32 query_count, \
        const nearfield::u8* rows, nearfield::u64 row_stride, nearfield::u32 row_count,        \
        nearfield::u32 depth, const float* scale, const float* bias, const float* size,        \
        const float* off, const float* unit, const float* reach, const float* lost,            \
        const nearfield::i32* init, float* maxima, nearfield::u64 maxima_stride) {             \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                      \
        const nearfield::Bounds bounds = {scale, bias, size, off,         unit,                \
                                          reach, lost, init, query_count, row_count};          \
        nearfield::write_maxima<nearfield::TileBy<nearfield::WAY, QM, RN>::Type>(              \
            {queries, query_stride, query_count, depth}, {rows, row_stride, row_count, depth}, \
            bounds, maxima, maxima_stride, shared);                                            \
    }                                                                                          \
    NEARFIELD_KERNEL(NAME)
