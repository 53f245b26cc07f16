// A tile of queries times a tile of rows, by a block of 256 threads: what scans and k-means share.
//
// Slices of both come into shared memory three stages ahead. Two kinds of tile, with one view of the result:
// a thread has kParts queries and kCells rows, product(part, cell) each; kShare neighbouring lanes have the
// same queries, and together, in every kGroupCells cells of theirs, one group of 32 consecutive rows.
// Source: own.
#pragma once

#include "mma_tile.cuh"
#include "slices.cuh"

namespace nearfield {
namespace {

constexpr u32 kThreads = 256;
constexpr u32 kGroupRows = 32;
constexpr u32 kStages = 3;

/// What turns a product into a score: see group_maxima.cuh.
struct Scoring {
    const float* scale;
    const float* bias;
    const float* unit;
    const i32* init;
    u32 queries;
    u32 rows;

    __device__ float of(float product, u32 row, float unit_of_query) const {
        if (row >= rows) return -infinity();
        const float score = scale != nullptr ? product * scale[row] : product;
        return bias != nullptr ? fmaf(bias[row], unit_of_query, score) : score;
    }
    __device__ float unit_of(u32 query) const {
        return unit != nullptr && query < queries ? unit[query] : 1.0f;
    }
    __device__ i32 init_of(u32 query) const {
        return init != nullptr && query < queries ? init[query] : 0;
    }
};

/// Runs product(queries, rows) over all slices of a tile, with the stages of both in shared memory.
template <u32 QM, u32 RN, class Product>
__device__ __forceinline__ void over_slices(const Rows& queries, const Rows& rows, u32 first_query,
                                            u32 first_row, u8* shared, Product product) {
    constexpr u32 kStageBytes = (QM + RN) * kPitch;
    const bool queries_aligned = queries.is_aligned(), rows_aligned = rows.is_aligned();
    const u32 slices = (rows.depth + kSliceBytes - 1) / kSliceBytes;
    const auto load = [&](u32 slice) {
        u8* const stage = shared + slice % kStages * kStageBytes;
        if (slice < slices) {
            load_slice<QM, kThreads>(queries, queries_aligned, first_query, slice, stage);
            load_slice<RN, kThreads>(rows, rows_aligned, first_row, slice, stage + QM * kPitch);
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

/// On tensor cores: warps multiply QT * 16 queries with 32 rows, one group.
template <class Mma, u32 QM_, u32 RN_>
struct MmaTile {
    static constexpr u32 QM = QM_, RN = RN_;
    static constexpr u32 kAcross = RN / kGroupRows;  // warps with the same queries
    static constexpr u32 kQueries = QM / (kThreads / kWarp / kAcross);  // of a warp
    static constexpr u32 QT = kQueries / 16, RT = kGroupRows / 8;
    static constexpr u32 kParts = QT * 2, kCells = RT * 2, kShare = 4, kGroupCells = 8;
    using Sum = typename Mma::Sum;

    Sum sum[QT][RT][4];

    __device__ MmaTile() {
#pragma unroll
        for (u32 i = 0; i < QT * RT * 4; ++i) sum[i / 4 / RT][i / 4 % RT][i % 4] = Sum{0};
    }

    static __device__ __forceinline__ u32 query_of(u32 part) {
        return warp_id() / kAcross * kQueries + part / 2 * 16 + part % 2 * 8 + lane_id() / 4;
    }
    static __device__ __forceinline__ u32 row_of(u32 cell) {
        return warp_id() % kAcross * kGroupRows + cell / 2 * 8 + 2 * (lane_id() % 4) + cell % 2;
    }
    __device__ __forceinline__ float product(u32 part, u32 cell, i32 init) const {
        const Sum all = sum[part / 2][cell / 2][part % 2 * 2 + cell % 2] + static_cast<Sum>(init);
        return static_cast<float>(all);
    }

    static __device__ __forceinline__ u32 word(const u8* at) {
        return *reinterpret_cast<const u32*>(at);
    }

    // From where a lane begins all distances are known when this is compiled: they are part of the loads.
    __device__ __forceinline__ void add(const u8* queries, const u8* rows) {
        const u32 g = lane_id() / 4, t = lane_id() % 4;
        const u8* const own_query = queries + (warp_id() / kAcross * kQueries + g) * kPitch + 4 * t;
        const u8* const own_row = rows + (warp_id() % kAcross * kGroupRows + g) * kPitch + 4 * t;
#pragma unroll
        for (u32 step = 0; step < kSliceBytes; step += 32) {
            u32 a[QT][4], b[RT][2];
#pragma unroll
            for (u32 i = 0; i < QT * 4; ++i) {
                const u32 r = i % 4;
                const u32 query = i / 4 * 16 + 8 * (r % 2);
                a[i / 4][r] = word(own_query + query * kPitch + step + 16 * (r / 2));
            }
#pragma unroll
            for (u32 i = 0; i < RT * 2; ++i) {
                b[i / 2][i % 2] = word(own_row + i / 2 * 8 * kPitch + step + 16 * (i % 2));
            }
#pragma unroll
            for (u32 i = 0; i < QT * RT; ++i) {
                multiply<Mma>(sum[i / RT][i % RT], a[i / RT], b[i % RT]);
            }
        }
    }
};

/// By fused multiply-adds: threads multiply QM / 16 queries, 16 apart, with 8 rows, 16 apart, four elements
/// at a time.
template <u32 QM_, u32 RN_>
struct FmaTile {
    static constexpr u32 QM = QM_, RN = RN_;
    static constexpr u32 kAcross = 1;
    static constexpr u32 kParts = QM / 16, kCells = RN / 16, kShare = 16, kGroupCells = 2;

    float sum[kParts][kCells] = {};

    static __device__ __forceinline__ u32 query_of(u32 part) {
        return threadIdx.x / 16 + 16 * part;
    }
    static __device__ __forceinline__ u32 row_of(u32 cell) { return threadIdx.x % 16 + 16 * cell; }
    __device__ __forceinline__ float product(u32 part, u32 cell, i32) const {
        return sum[part][cell];
    }

    static __device__ __forceinline__ Chunk four(const u8* at) {
        return *reinterpret_cast<const Chunk*>(at);
    }

    __device__ __forceinline__ void add(const u8* queries, const u8* rows) {
        const u8* const own_query = queries + query_of(0) * kPitch;
        const u8* const own_row = rows + row_of(0) * kPitch;
#pragma unroll
        for (u32 byte = 0; byte < kSliceBytes; byte += 16) {
            Chunk q[kParts];
#pragma unroll
            for (u32 i = 0; i < kParts; ++i) q[i] = four(own_query + 16 * i * kPitch + byte);
#pragma unroll
            for (u32 j = 0; j < kCells; ++j) {
                const Chunk row = four(own_row + 16 * j * kPitch + byte);
#pragma unroll
                for (u32 i = 0; i < kParts * 4; ++i) {
                    sum[i / 4][j] = fmaf(__uint_as_float(q[i / 4].word[i % 4]),
                                         __uint_as_float(row.word[i % 4]), sum[i / 4][j]);
                }
            }
        }
    }
};

/// The largest score of a group: the cells from `first` on, of the lanes that share them.
template <class Tile, class Scores, class Unit>
__device__ __forceinline__ float group_maximum(const Tile& tile, u32 part, u32 first, u32 first_row,
                                               const Scores& scoring, const Unit& unit, i32 init) {
    float best = -infinity();
#pragma unroll
    for (u32 cell = first; cell < first + Tile::kGroupCells; ++cell) {
        const u32 row = first_row + Tile::row_of(cell);
        best = fmaxf(best, scoring.of(tile.product(part, cell, init), row, unit));
    }
    for (u32 step = Tile::kShare / 2; step > 0; step /= 2) {
        best = fmaxf(best, __shfl_xor_sync(kAllLanes, best, static_cast<i32>(step)));
    }
    return best;
}

struct Fma {};
using MmaF16 = HalfMma<f16>;
using MmaBF16 = HalfMma<bf16>;

template <class Way, u32 QM, u32 RN>
struct TileBy {
    using Type = MmaTile<Way, QM, RN>;
};
template <u32 QM, u32 RN>
struct TileBy<Fma, QM, RN> {
    using Type = FmaTile<QM, RN>;
};

}  // namespace
}  // namespace nearfield
