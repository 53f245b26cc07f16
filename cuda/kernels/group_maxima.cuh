// Pass 1 of a scan: for every query the largest score among each 32 consecutive rows.
//
// score = (init[q] + <q, x>) * scale[x] + bias[x] * unit[q]; scale, bias and init may be null. A row
// whose bias is -infinity never counts. The scores themselves are never stored: a block multiplies a tile of
// queries with a tile of rows, slice by slice, and keeps one maximum a group. f16 and bf16: tensor cores, products exact, sums float32. u8, i8:
// rows of bytes, queries signed, sums of whole numbers, exact (where 128 is an excess in u8, init is -128
// times the sum of the query's bytes). f32: fused multiply-adds in the order of elements.
// Tiles (queries x rows): q128 128 x 128; q32 32 x 256 and q16 16 x 256, for few queries: rows are read
// once, and memory is the limit. f32: q64 64 x 128, q16 16 x 128.
//
// Grid: one dimension, query tiles x row tiles, query tiles first, so that blocks that run together share
// rows. Blocks of 256 threads. Shared memory: 240 bytes a query and row of the tile.
// maxima: query q, group g at maxima[q * maxima_stride + g]; -infinity past the last row.
// Cost: 2 queries rows dim operations; one maximum a score. Source: group maxima with exact re-scoring are
// Chern et al., "TPU-KNN" (2206.14286) made exact.

#pragma once

#include "scan_tile.cuh"

namespace nearfield {
namespace {

/// Scores: Scoring, or what bounds scores as it does.
template <class Tile, class Scores>
__device__ void write_maxima(const Rows& queries, const Rows& rows, const Scores& scoring,
                             float* maxima, u64 stride, u8* shared) {
    const u32 across = (queries.count + Tile::QM - 1) / Tile::QM;
    const u32 first_query = blockIdx.x % across * Tile::QM;
    const u32 first_row = blockIdx.x / across * Tile::RN;
    Tile tile;
    over_slices<Tile::QM, Tile::RN>(queries, rows, first_query, first_row, shared,
                                    [&](const u8* q, const u8* x) { tile.add(q, x); });
#pragma unroll
    for (u32 part = 0; part < Tile::kParts; ++part) {
        const u32 q = first_query + Tile::query_of(part);
        const auto unit = scoring.unit_of(q);
        const i32 init = scoring.init_of(q);
#pragma unroll
        for (u32 first = 0; first < Tile::kCells; first += Tile::kGroupCells) {
            const float best = group_maximum(tile, part, first, first_row, scoring, unit, init);
            const u32 row = first_row + Tile::row_of(first);
            if (lane_id() % Tile::kShare == 0 && q < queries.count && row < rows.count) {
                maxima[q * stride + row / kGroupRows] = best;
            }
        }
    }
}

}  // namespace
}  // namespace nearfield

/// Strides of queries and rows in bytes; depth: bytes of a row. Shared memory: 240 (QM + RN) bytes.
#define NEARFIELD_GROUP_MAXIMA(NAME, WAY, QM, RN)                                              \
    extern "C" __global__ void __launch_bounds__(256, 2) NAME(                                 \
        const nearfield::u8* queries, nearfield::u64 query_stride, nearfield::u32 query_count, \
        const nearfield::u8* rows, nearfield::u64 row_stride, nearfield::u32 row_count,        \
        nearfield::u32 depth, const float* scale, const float* bias, const float* unit,        \
        const nearfield::i32* init, float* maxima, nearfield::u64 maxima_stride) {             \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                      \
        nearfield::write_maxima<nearfield::TileBy<nearfield::WAY, QM, RN>::Type>(              \
            {queries, query_stride, query_count, depth}, {rows, row_stride, row_count, depth}, \
            nearfield::Scoring{scale, bias, unit, init, query_count, row_count}, maxima,       \
            maxima_stride, shared);                                                            \
    }                                                                                          \
    NEARFIELD_KERNEL(NAME)
