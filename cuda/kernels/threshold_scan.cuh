// A scan that keeps the scores which reach their query's threshold, and no other.
//
// Scores are those of group_maxima.cuh, as are its tiles, grid and shared memory. A thread takes the maximum
// of its scores of a query and compares it once; only where it passes are the scores looked at one by one.
// Cost: 2 queries rows dim operations; one maximum a score, one atomic a survivor. Source: own.
#pragma once

#include "scan_tile.cuh"
#include "survivors.cuh"

namespace nearfield {
namespace {

template <class Tile>
__device__ __forceinline__ void keep_part(const Tile& tile, u32 part, u32 query, u32 first_row,
                                          const Scoring& scoring, const Survivors& survivors) {
    const float threshold = survivors.threshold_of(query, scoring.queries);
    const float unit = scoring.unit_of(query);
    const i32 init = scoring.init_of(query);
    float best = -infinity();
#pragma unroll
    for (u32 cell = 0; cell < Tile::kCells; ++cell) {
        const u32 row = first_row + Tile::row_of(cell);
        best = fmaxf(best, scoring.of(tile.product(part, cell, init), row, unit));
    }
    if (!(best >= threshold)) return;
#pragma unroll
    for (u32 cell = 0; cell < Tile::kCells; ++cell) {
        const u32 row = first_row + Tile::row_of(cell);
        const float score = scoring.of(tile.product(part, cell, init), row, unit);
        if (score >= threshold) survivors.append(query, score, row);
    }
}

template <class Tile>
__device__ void scan_by_thresholds(const Rows& queries, const Rows& rows, const Scoring& scoring,
                                   const Survivors& survivors, u8* shared) {
    const u32 across = (queries.count + Tile::QM - 1) / Tile::QM;
    const u32 first_query = blockIdx.x % across * Tile::QM;
    const u32 first_row = blockIdx.x / across * Tile::RN;
    Tile tile;
    over_slices<Tile::QM, Tile::RN>(queries, rows, first_query, first_row, shared,
                                    [&](const u8* q, const u8* x) { tile.add(q, x); });
#pragma unroll
    for (u32 part = 0; part < Tile::kParts; ++part) {
        keep_part(tile, part, first_query + Tile::query_of(part), first_row, scoring, survivors);
    }
}

}  // namespace
}  // namespace nearfield

/// Strides of queries and rows in bytes; depth: bytes of a row. Shared memory: 240 (QM + RN) bytes.
#define NEARFIELD_THRESHOLD_SCAN(NAME, WAY, QM, RN)                                            \
    extern "C" __global__ void __launch_bounds__(256, 2) NAME(                                 \
        const nearfield::u8* queries, nearfield::u64 query_stride, nearfield::u32 query_count, \
        const nearfield::u8* rows, nearfield::u64 row_stride, nearfield::u32 row_count,        \
        nearfield::u32 depth, const float* scale, const float* bias, const float* unit,        \
        const nearfield::i32* init, const float* thresholds, float* survivor_scores,           \
        nearfield::u32* survivor_rows, nearfield::u32* counts, nearfield::u32 capacity) {      \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                      \
        nearfield::scan_by_thresholds<nearfield::TileBy<nearfield::WAY, QM, RN>::Type>(        \
            {queries, query_stride, query_count, depth}, {rows, row_stride, row_count, depth}, \
            {scale, bias, unit, init, query_count, row_count},                                 \
            {thresholds, survivor_scores, survivor_rows, counts, capacity}, shared);           \
    }                                                                                          \
    NEARFIELD_KERNEL(NAME)
