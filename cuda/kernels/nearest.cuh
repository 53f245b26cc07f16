// The nearest of some centroids to every point, and how far it is ahead of all others.
//
// score = <p, c> * scale[c] + bias[c], bias -|c|^2 / 2 under l2. A block has a tile of points and goes over
// all centroids; no score is stored. lead[p] is the best score less the second best (infinite where there is
// one centroid). Where lead > 2 margin (point_margins_*) the nearest is proven; nearest_exact_* decides the
// others in float64: then ties go to the smaller number, as on the CPU.
// Grid: tiles of points. Blocks of 256 threads, shared memory as for group_maxima.
// Cost: 2 points centroids dim operations. Source: own; the online maximum after flash-kmeans.
#pragma once

#include "scan_tile.cuh"

namespace nearfield {
namespace {

struct Nearest {
    float best, second;
    u32 id;

    __device__ void take(float score, u32 other) {
        second = fmaxf(second, fminf(score, best));
        if (score > best) id = other;
        best = fmaxf(score, best);
    }
    __device__ void merge(const Nearest& other) {
        const bool is_better = other.best > best || (other.best == best && other.id < id);
        second = fmaxf(fmaxf(second, other.second), fminf(best, other.best));
        best = fmaxf(best, other.best);
        if (is_better) id = other.id;
    }
    __device__ Nearest of_lane_xor(i32 step) const {
        return {__shfl_xor_sync(kAllLanes, best, step), __shfl_xor_sync(kAllLanes, second, step),
                __shfl_xor_sync(kAllLanes, id, step)};
    }
};

/// Each thread's part of what is nearest to its queries.
template <class Tile>
__device__ __forceinline__ void go_over(const Rows& points, const Rows& centroids,
                                        const Scoring& scoring, u32 first_point,
                                        Nearest (&nearest)[Tile::kParts], u8* shared) {
#pragma unroll
    for (u32 part = 0; part < Tile::kParts; ++part) {
        nearest[part] = {-infinity(), -infinity(), kNoId};
    }
    for (u32 first = 0; first < centroids.count; first += Tile::RN) {
        Tile tile;
        __syncthreads();  // the last slice of the tile before has been read
        over_slices<Tile::QM, Tile::RN>(points, centroids, first_point, first, shared,
                                        [&](const u8* p, const u8* c) { tile.add(p, c); });
#pragma unroll
        for (u32 cell = 0; cell < Tile::kCells; ++cell) {
            const u32 c = first + Tile::row_of(cell);
#pragma unroll
            for (u32 part = 0; part < Tile::kParts; ++part) {
                nearest[part].take(scoring.of(tile.product(part, cell, 0), c, 1.0f), c);
            }
        }
    }
}

template <class Tile>
__device__ void write_nearest(const Rows& points, const Rows& centroids, const Scoring& scoring,
                              u32* ids, float* lead, u8* shared) {
    const u32 first_point = blockIdx.x * Tile::QM;
    Nearest nearest[Tile::kParts];
    go_over<Tile>(points, centroids, scoring, first_point, nearest, shared);
    Nearest* const all = reinterpret_cast<Nearest*>(shared);
    __syncthreads();  // the stages have been read
#pragma unroll
    for (u32 part = 0; part < Tile::kParts; ++part) {
        for (u32 step = Tile::kShare / 2; step > 0; step /= 2) {
            nearest[part].merge(nearest[part].of_lane_xor(static_cast<i32>(step)));
        }
        const u32 at = warp_id() % Tile::kAcross * Tile::QM + Tile::query_of(part);
        if (lane_id() % Tile::kShare == 0) all[at] = nearest[part];
    }
    __syncthreads();
    const u32 point = first_point + threadIdx.x;
    if (threadIdx.x >= Tile::QM || point >= points.count) return;
    Nearest one = all[threadIdx.x];
    for (u32 w = 1; w < Tile::kAcross; ++w) one.merge(all[w * Tile::QM + threadIdx.x]);
    ids[point] = one.id;
    lead[point] = one.best - one.second;
}

}  // namespace
}  // namespace nearfield

/// Strides in bytes; depth: bytes of a row.
#define NEARFIELD_NEAREST(NAME, WAY, QM, RN)                                                       \
    extern "C" __global__ void __launch_bounds__(256, 1)                                           \
        NAME(const nearfield::u8* points, nearfield::u64 point_stride, nearfield::u32 point_count, \
             const nearfield::u8* centroids, nearfield::u64 centroid_stride,                       \
             nearfield::u32 centroid_count, nearfield::u32 depth, const float* scale,              \
             const float* bias, nearfield::u32* ids, float* lead) {                                \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                          \
        nearfield::write_nearest<nearfield::TileBy<nearfield::WAY, QM, RN>::Type>(                 \
            {points, point_stride, point_count, depth},                                            \
            {centroids, centroid_stride, centroid_count, depth},                                   \
            {scale, bias, nullptr, nullptr, point_count, centroid_count}, ids, lead, shared);      \
    }                                                                                              \
    NEARFIELD_KERNEL(NAME)
