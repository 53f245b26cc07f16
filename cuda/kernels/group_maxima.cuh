// Pass 1 of a scan: for every query the largest score among each 32 consecutive rows.
//
// score = (init[q] + <q, x>) * scale[x] + bias[x] * unit[q]; scale, bias and init may be null. The scores
// themselves are never stored: a block multiplies a tile of queries with a tile of rows, slice by slice,
// and keeps one maximum a group. f16 and bf16: tensor cores, products exact, sums float32. u8: rows of
// unsigned bytes, queries signed, sums of whole numbers, exact (where -128 is an excess, init is -128 times
// the sum of the query's bytes). f32: fused multiply-adds in the order of elements.
// Tiles (queries x rows): q128 128 x 128; q32 32 x 256 and q16 16 x 256, for few queries: rows are read
// once, and memory is the limit. f32: q64 64 x 128, q16 16 x 128.
//
// Grid: one dimension, query tiles x row tiles, query tiles first, so that blocks that run together share
// rows. Blocks of 256 threads. Shared memory: 240 bytes a query and row of the tile.
// maxima: query q, group g at maxima[q * maxima_stride + g]; -infinity past the last row.
// Cost: 2 queries rows dim operations; one maximum a score. Source: group maxima with exact re-scoring are
// Chern et al., "TPU-KNN" (2206.14286) made exact.

#pragma once

#include "mma_tile.cuh"
#include "slices.cuh"

namespace nearfield {
namespace {

constexpr u32 kThreads = 256;
constexpr u32 kGroupRows = 32;
constexpr u32 kStages = 3;

/// What turns a product into a score.
struct Scoring {
    const float* scale;
    const float* bias;
    const float* unit;
    const i32* init;
    u32 rows;

    __device__ float of(float product, u32 row, float unit_of_query) const {
        if (row >= rows) return -infinity();
        const float score = scale != nullptr ? product * scale[row] : product;
        return bias != nullptr ? fmaf(bias[row], unit_of_query, score) : score;
    }
};

struct Maxima {
    float* at;
    u64 stride;
    u32 queries;
    u32 rows;

    __device__ void store(u32 query, u32 first_row, float best) const {
        if (query < queries && first_row < rows) at[query * stride + first_row / kGroupRows] = best;
    }
};

/// Which tile a block has.
template <u32 QM, u32 RN>
struct Tile {
    u32 query, row;
    __device__ explicit Tile(u32 queries) {
        const u32 across = (queries + QM - 1) / QM;
        query = blockIdx.x % across * QM;
        row = blockIdx.x / across * RN;
    }
};

/// Runs product(queries, rows) over all slices of a tile, with the stages of both in shared memory.
template <u32 QM, u32 RN, class Product>
__device__ __forceinline__ void over_slices(const Rows& queries, const Rows& rows,
                                            const Tile<QM, RN>& tile, u8* shared, Product product) {
    constexpr u32 kStageBytes = (QM + RN) * kPitch;
    const bool queries_aligned = queries.is_aligned(), rows_aligned = rows.is_aligned();
    const u32 slices = (rows.depth + kSliceBytes - 1) / kSliceBytes;
    const auto load = [&](u32 slice) {
        u8* const stage = shared + slice % kStages * kStageBytes;
        if (slice < slices) {
            load_slice<QM, kThreads>(queries, queries_aligned, tile.query, slice, stage);
            load_slice<RN, kThreads>(rows, rows_aligned, tile.row, slice, stage + QM * kPitch);
        }
        commit_copies();
    };
    for (u32 slice = 0; slice + 1 < kStages; ++slice) load(slice);
    for (u32 slice = 0; slice < slices; ++slice) {
        wait_for_copies<kStages - 2>();
        __syncthreads();  // the slice is there, and nobody reads the one before it any more
        load(slice + kStages - 1);
        const u8* const stage = shared + slice % kStages * kStageBytes;
        product(stage, stage + QM * kPitch);
    }
}

/// Warps multiply QT * 16 queries with 32 rows, one group.
template <class Mma, u32 QM, u32 RN>
struct WarpTile {
    static constexpr u32 kAcross = RN / kGroupRows;                     // warps along the rows
    static constexpr u32 kQueries = QM / (kThreads / kWarp / kAcross);  // of a warp
    static constexpr u32 QT = kQueries / 16, RT = kGroupRows / 8;
    using Sum = typename Mma::Sum;

    Sum sum[QT][RT][4];
    u32 query, row, g, t;  // where the warp's part of the tile starts

    __device__ WarpTile() {
        query = warp_id() / kAcross * kQueries;
        row = warp_id() % kAcross * kGroupRows;
        g = lane_id() / 4;
        t = lane_id() % 4;
#pragma unroll
        for (u32 i = 0; i < QT * RT * 4; ++i) sum[i / 4 / RT][i / 4 % RT][i % 4] = Sum{0};
    }

    static __device__ __forceinline__ u32 word(const u8* stage, u32 row_in_stage, u32 byte) {
        return *reinterpret_cast<const u32*>(stage + row_in_stage * kPitch + byte);
    }

    __device__ __forceinline__ void add(const u8* queries, const u8* rows) {
#pragma unroll
        for (u32 step = 0; step < kSliceBytes; step += 32) {
            u32 a[QT][4], b[RT][2];
#pragma unroll
            for (u32 i = 0; i < QT * 4; ++i) {
                const u32 r = i % 4;
                a[i / 4][r] = word(queries, query + i / 4 * 16 + g + 8 * (r % 2),
                                   step + 4 * t + 16 * (r / 2));
            }
#pragma unroll
            for (u32 i = 0; i < RT * 2; ++i) {
                b[i / 2][i % 2] = word(rows, row + i / 2 * 8 + g, step + 4 * t + 16 * (i % 2));
            }
#pragma unroll
            for (u32 i = 0; i < QT * RT; ++i)
                multiply<Mma>(sum[i / RT][i % RT], a[i / RT], b[i % RT]);
        }
    }

    __device__ __forceinline__ void finish(const Scoring& scoring, const Maxima& maxima,
                                           u32 first_query, u32 first_row) const {
#pragma unroll
        for (u32 part = 0; part < QT * 2; ++part) {
            const u32 q = first_query + query + part / 2 * 16 + part % 2 * 8 + g;
            const bool is_query = q < maxima.queries;
            const Sum init =
                scoring.init != nullptr && is_query ? static_cast<Sum>(scoring.init[q]) : Sum{0};
            const float unit = scoring.unit != nullptr && is_query ? scoring.unit[q] : 1.0f;
            float best = -infinity();
#pragma unroll
            for (u32 i = 0; i < RT * 2; ++i) {
                const u32 x = first_row + row + i / 2 * 8 + 2 * t + i % 2;
                const Sum product = sum[part / 2][i / 2][part % 2 * 2 + i % 2] + init;
                best = fmaxf(best, scoring.of(static_cast<float>(product), x, unit));
            }
            best = fmaxf(best, __shfl_xor_sync(kAllLanes, best, 1));
            best = fmaxf(best, __shfl_xor_sync(kAllLanes, best, 2));
            if (t == 0) maxima.store(q, first_row + row, best);
        }
    }
};

template <class Mma, u32 QM, u32 RN>
__device__ void maxima_by_tensor_cores(const Rows& queries, const Rows& rows,
                                       const Scoring& scoring, const Maxima& maxima, u8* shared) {
    const Tile<QM, RN> tile(queries.count);
    WarpTile<Mma, QM, RN> warp;
    over_slices<QM, RN>(queries, rows, tile, shared,
                        [&](const u8* q, const u8* x) { warp.add(q, x); });
    warp.finish(scoring, maxima, tile.query, tile.row);
}

/// Threads multiply QT queries, 16 apart, with 8 rows, 16 apart, four elements at a time.
template <u32 QM, u32 RN>
__device__ void maxima_by_fma(const Rows& queries, const Rows& rows, const Scoring& scoring,
                              const Maxima& maxima, u8* shared) {
    constexpr u32 QT = QM / 16, RT = RN / 16;
    const Tile<QM, RN> tile(queries.count);
    const u32 x = threadIdx.x % 16, y = threadIdx.x / 16;
    float sum[QT][RT] = {};
    const auto four = [](const u8* stage, u32 row, u32 k) {
        return *reinterpret_cast<const Chunk*>(stage + row * kPitch + k);
    };
    over_slices<QM, RN>(queries, rows, tile, shared, [&](const u8* q_stage, const u8* x_stage) {
#pragma unroll
        for (u32 k = 0; k < kSliceBytes; k += 16) {
            Chunk q[QT];
#pragma unroll
            for (u32 i = 0; i < QT; ++i) q[i] = four(q_stage, y + 16 * i, k);
#pragma unroll
            for (u32 j = 0; j < RT; ++j) {
                const Chunk row = four(x_stage, x + 16 * j, k);
#pragma unroll
                for (u32 i = 0; i < QT * 4; ++i) {
                    sum[i / 4][j] = fmaf(__uint_as_float(q[i / 4].word[i % 4]),
                                         __uint_as_float(row.word[i % 4]), sum[i / 4][j]);
                }
            }
        }
    });
#pragma unroll
    for (u32 i = 0; i < QT; ++i) {
        const u32 q = tile.query + y + 16 * i;
        const float unit = scoring.unit != nullptr && q < maxima.queries ? scoring.unit[q] : 1.0f;
#pragma unroll
        for (u32 j = 0; j < RT; j += 2) {
            const u32 row = tile.row + x + 16 * j;
            float best =
                fmaxf(scoring.of(sum[i][j], row, unit), scoring.of(sum[i][j + 1], row + 16, unit));
            for (i32 step = 8; step > 0; step /= 2) {
                best = fmaxf(best, __shfl_xor_sync(kAllLanes, best, step));
            }
            if (x == 0) maxima.store(q, row, best);
        }
    }
}

using MmaF16 = HalfMma<f16>;
using MmaBF16 = HalfMma<bf16>;
struct Fma {};

template <class Way, u32 QM, u32 RN>
struct MaximaBy {
    static __device__ void run(const Rows& queries, const Rows& rows, const Scoring& scoring,
                               const Maxima& maxima, u8* shared) {
        maxima_by_tensor_cores<Way, QM, RN>(queries, rows, scoring, maxima, shared);
    }
};
template <u32 QM, u32 RN>
struct MaximaBy<Fma, QM, RN> {
    static __device__ void run(const Rows& queries, const Rows& rows, const Scoring& scoring,
                               const Maxima& maxima, u8* shared) {
        maxima_by_fma<QM, RN>(queries, rows, scoring, maxima, shared);
    }
};

}  // namespace
}  // namespace nearfield

/// Strides of queries and rows in bytes; depth: bytes of a row. Shared memory: 240 (QM + RN) bytes.
#define NEARFIELD_GROUP_MAXIMA(NAME, WAY, QM, RN)                                                  \
    extern "C" __global__ void __launch_bounds__(256, 2) NAME(                                     \
        const nearfield::u8* queries, nearfield::u64 query_stride, nearfield::u32 query_count,     \
        const nearfield::u8* rows, nearfield::u64 row_stride, nearfield::u32 row_count,            \
        nearfield::u32 depth, const float* scale, const float* bias, const float* unit,            \
        const nearfield::i32* init, float* maxima, nearfield::u64 maxima_stride) {                 \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                          \
        nearfield::MaximaBy<nearfield::WAY, QM, RN>::run(                                          \
            {queries, query_stride, query_count, depth}, {rows, row_stride, row_count, depth},     \
            {scale, bias, unit, init, row_count}, {maxima, maxima_stride, query_count, row_count}, \
            shared);                                                                               \
    }                                                                                              \
    NEARFIELD_KERNEL(NAME)
