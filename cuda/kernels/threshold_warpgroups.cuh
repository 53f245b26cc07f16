// threshold_scan.cuh by warpgroups (sm_90a): one brings slices of both tiles into shared memory, two multiply
// 64 queries each with the same 256 rows and keep what reaches the thresholds.
//
// Stages of a ring hold 128 bytes of 128 queries and of 256 rows. `full` says a stage is there, `empty` that
// all eight warps have read it. Blocks take tiles in turn, query tiles first, so that blocks that run
// together share rows; the grid may have any size. While one slice is multiplied the next is awaited, and its
// predecessor's stage given back.
// Grid: as many blocks as multiprocessors; 384 threads; shared memory: 4 stages of 49,152 bytes,
// 64 of barriers and 1,024 to align them.
// Cost: 2 queries rows dim operations. Source: own; the division of work after the CUDA programming guide,
// "Asynchronous warpgroup instructions".
#pragma once

#include "scan_tile.cuh"
#include "survivors.cuh"
#include "warpgroup_mma.cuh"

namespace nearfield {
namespace {

constexpr u32 kTileQueries = 2 * kGroupQueries;
constexpr u32 kQueryBytes = kTileQueries * kBoxBytes;
constexpr u32 kRingStageBytes = kQueryBytes + kGroupColumns * kBoxBytes;
constexpr u32 kRingStages = 4;
constexpr u32 kReaders = 2 * kWarpgroup / kWarp;  // warps
constexpr u32 kRingThreads = 3 * kWarpgroup;
constexpr u32 kBringing = 40, kMultiplying = 232;  // registers of a thread
// A block begins with as many for each thread as there are for all, in steps of 8.
static_assert(kBringing + 2 * kMultiplying <= 3 * (65536 / kRingThreads / 8 * 8),
              "registers are given before others take them");

#if defined(NEARFIELD_HAS_WARPGROUPS)

/// Stages in the order of their use.
struct Ring {
    u8* stages;
    PhaseBarrier* full;
    PhaseBarrier* empty;
    u32 stage = 0, parity = 0;

    __device__ explicit Ring(u8* shared) {
        const u64 at = reinterpret_cast<u64>(shared);
        stages = shared + ((at + kBoxAlign - 1) / kBoxAlign * kBoxAlign - at);
        full = reinterpret_cast<PhaseBarrier*>(stages + kRingStages * kRingStageBytes);
        empty = full + kRingStages;
    }
    __device__ __forceinline__ void init() {
        for (u32 i = 0; i < kRingStages; ++i) {
            full[i].init(1);
            empty[i].init(kReaders);
        }
        fence_barriers();
    }
    __device__ __forceinline__ u8* queries() const { return stages + stage * kRingStageBytes; }
    __device__ __forceinline__ u8* rows() const { return queries() + kQueryBytes; }
    __device__ __forceinline__ void advance() {
        if (++stage < kRingStages) return;
        stage = 0;
        parity ^= 1;
    }
};

struct Tiles {
    u32 across, count, slices, slice_elements;

    __device__ u32 first_query(u32 tile) const { return tile % across * kTileQueries; }
    __device__ u32 first_row(u32 tile) const { return tile / across * kGroupColumns; }
};

/// One thread.
__device__ __forceinline__ void bring_slices(const BoxMap& queries, const BoxMap& rows,
                                             const Tiles& tiles, Ring ring) {
    for (u32 tile = blockIdx.x; tile < tiles.count; tile += gridDim.x) {
        for (u32 slice = 0; slice < tiles.slices; ++slice) {
            PhaseBarrier& full = ring.full[ring.stage];
            ring.empty[ring.stage].wait(ring.parity ^ 1);
            full.arrive_and_expect(kRingStageBytes);
            const u32 column = slice * tiles.slice_elements;
            copy_box(ring.queries(), queries, column, tiles.first_query(tile), full);
            copy_box(ring.rows(), rows, column, tiles.first_row(tile), full);
            ring.advance();
        }
    }
}

/// The products of a tile; the stages are given back.
template <class Way>
__device__ __forceinline__ void multiply_slices(typename Way::Sum (&sum)[kSums], u32 slices,
                                                u32 group, Ring& ring) {
    PhaseBarrier* before = nullptr;
    for (u32 slice = 0; slice < slices; ++slice) {
        ring.full[ring.stage].wait(ring.parity);
        u64 first = tile_descriptor(ring.queries() + group * kGroupQueries * kBoxBytes);
        u64 second = tile_descriptor(ring.rows());
        fence_sums();
#pragma unroll
        for (u32 step = 0; step < kBoxBytes / kStepBytes; ++step) {
            multiply_tiles<Way>(sum, first, second, slice + step != 0);
            first += kStepBytes / 16;
            second += kStepBytes / 16;
        }
        commit_products();
        wait_for_products<1>();
        if (before != nullptr && lane_id() == 0) before->arrive();
        before = ring.empty + ring.stage;
        ring.advance();
    }
    wait_for_sums(sum);
    if (lane_id() == 0) before->arrive();
}

/// One of the two queries of a thread: its scores of the tile.
template <class Way>
__device__ __forceinline__ void keep_scores(const typename Way::Sum (&sum)[kSums], u32 half,
                                            u32 query, u32 first_row, const Scoring& scoring,
                                            const Survivors& survivors) {
    const float threshold = survivors.threshold_of(query, scoring.queries);
    const float unit = scoring.unit_of(query);
    const auto init = static_cast<typename Way::Sum>(scoring.init_of(query));
    const bool is_plain = scoring.scale == nullptr && scoring.bias == nullptr;
    float best = -infinity();
#pragma unroll
    for (u32 i = 0; i < kSums / 2; ++i) {
        const u32 at = i / 2 * 4 + 2 * half + i % 2;
        const float product = static_cast<float>(sum[at] + init);
        // Rows past the last are looked at below.
        best = fmaxf(best, is_plain ? product
                                    : scoring.of(product, first_row + second_row_of_sum(at), unit));
    }
    if (!(best >= threshold)) return;
#pragma unroll
    for (u32 i = 0; i < kSums / 2; ++i) {
        const u32 at = i / 2 * 4 + 2 * half + i % 2;
        const u32 row = first_row + second_row_of_sum(at);
        const float score = scoring.of(static_cast<float>(sum[at] + init), row, unit);
        if (score >= threshold) survivors.append(query, score, row);
    }
}

template <class Way>
__device__ __forceinline__ void scan_tiles(const Tiles& tiles, u32 group, Ring ring,
                                           const Scoring& scoring, const Survivors& survivors) {
    for (u32 tile = blockIdx.x; tile < tiles.count; tile += gridDim.x) {
        typename Way::Sum sum[kSums];
        multiply_slices<Way>(sum, tiles.slices, group, ring);
#pragma unroll
        for (u32 half = 0; half < 2; ++half) {
            const u32 query =
                tiles.first_query(tile) + group * kGroupQueries + first_row_of_sum(2 * half);
            keep_scores<Way>(sum, half, query, tiles.first_row(tile), scoring, survivors);
        }
    }
}

/// depth: bytes of a row.
template <class Way>
__device__ __forceinline__ void scan_by_warpgroups(const BoxMap& queries, const BoxMap& rows,
                                                   u32 depth, u32 element_bytes,
                                                   const Scoring& scoring,
                                                   const Survivors& survivors, u8* shared) {
    const u32 across = (scoring.queries + kTileQueries - 1) / kTileQueries;
    const u32 along = (scoring.rows + kGroupColumns - 1) / kGroupColumns;
    const Tiles tiles = {across, across * along, (depth + kBoxBytes - 1) / kBoxBytes,
                         kBoxBytes / element_bytes};
    Ring ring(shared);
    if (threadIdx.x == 0) ring.init();
    __syncthreads();
    const u32 group = threadIdx.x / kWarpgroup;
    if (group == 0) {
        give_registers<kBringing>();
        if (threadIdx.x == 0) bring_slices(queries, rows, tiles, ring);
    } else {
        take_registers<kMultiplying>();
        scan_tiles<Way>(tiles, group - 1, ring, scoring, survivors);
    }
}

#endif

}  // namespace
}  // namespace nearfield

/// Maps: boxes of 128 bytes x 128 queries and x 256 rows; depth: bytes of a row. On other architectures the
/// kernel stops with an error; hosts do not launch it there.
#define NEARFIELD_THRESHOLD_WARPGROUPS(NAME, WAY, ELEMENT_BYTES)                             \
    extern "C" __global__ void __launch_bounds__(384, 1)                                     \
        NAME(const __grid_constant__ nearfield::BoxMap queries,                              \
             const __grid_constant__ nearfield::BoxMap rows, nearfield::u32 query_count,     \
             nearfield::u32 row_count, nearfield::u32 depth, const float* scale,             \
             const float* bias, const float* unit, const nearfield::i32* init,               \
             const float* thresholds, float* survivor_scores, nearfield::u32* survivor_rows, \
             nearfield::u32* counts, nearfield::u32 capacity){                               \
            NEARFIELD_WARPGROUP_BODY(WAY, ELEMENT_BYTES)} NEARFIELD_KERNEL(NAME)

#if defined(NEARFIELD_HAS_WARPGROUPS)
#define NEARFIELD_WARPGROUP_BODY(WAY, ELEMENT_BYTES)                                            \
    NEARFIELD_DYNAMIC_SHARED(shared);                                                           \
    nearfield::scan_by_warpgroups<nearfield::WAY>(                                              \
        queries, rows, depth, ELEMENT_BYTES, {scale, bias, unit, init, query_count, row_count}, \
        {thresholds, survivor_scores, survivor_rows, counts, capacity}, shared);
#else
#define NEARFIELD_WARPGROUP_BODY(WAY, ELEMENT_BYTES) __trap();
#endif
