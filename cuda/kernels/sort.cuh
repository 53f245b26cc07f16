// Sorting keys, largest first: in a warp's registers and, by a block, in memory.
//
// Bitonic networks (Batcher, "Sorting networks and their applications", 1968). The block's has every
// comparison the same way round, so that a list of any length sorts: what would be past its end is the
// smallest and never moves.
// Cost: n log^2 n / 4 comparisons. Source: own.
#pragma once

#include "key.cuh"

namespace nearfield {

/// Of this lane's key and the one in lane ^ step, the larger where `larger`.
static __device__ __forceinline__ u64 exchange(u64 key, u32 step, bool larger) {
    const u64 other = __shfl_xor_sync(kAllLanes, key, static_cast<i32>(step));
    return (key > other) == larger ? key : other;
}

/// Lane 0 has the largest afterwards.
static __device__ __forceinline__ u64 warp_sort(u64 key) {
    const u32 lane = lane_id();
    for (u32 size = 2; size <= kWarp; size *= 2) {
        for (u32 step = size / 2; step > 0; step /= 2) {
            const bool falling = (lane & size) == 0 || size == kWarp;
            key = exchange(key, step, falling == ((lane & step) == 0));
        }
    }
    return key;
}

/// A list of 32 R keys, largest first: place 32 r + lane is best[r] of that lane. Takes in 32 sorted
/// keys and lets the 32 smallest of all go.
template <u32 R>
static __device__ __forceinline__ void merge_into(u64 (&best)[R], u64 sorted) {
    // The smallest 32 against the new ones the other way round: what stays rises and then falls.
    const u64 reversed = __shfl_xor_sync(kAllLanes, sorted, 31);
    best[R - 1] = best[R - 1] > reversed ? best[R - 1] : reversed;
#pragma unroll
    for (u32 step = R / 2; step > 0; step /= 2) {
#pragma unroll
        for (u32 r = 0; r < R; ++r) {
            if ((r & step) != 0) continue;
            const u64 a = best[r], b = best[r | step];
            best[r] = a > b ? a : b;
            best[r | step] = a > b ? b : a;
        }
    }
#pragma unroll
    for (u32 r = 0; r < R; ++r) {
        for (u32 step = kWarp / 2; step > 0; step /= 2) {
            best[r] = exchange(best[r], step, (lane_id() & step) == 0);
        }
    }
}

/// Sorts n keys in shared or global memory. All threads of the block call it; a barrier comes first and
/// last.
template <class K>
static __device__ void block_sort(K* keys, u32 n) {
    u32 padded = 1;
    while (padded < n) padded *= 2;
    __syncthreads();
    for (u32 size = 2; size <= padded; size *= 2) {
        for (u32 step = size / 2; step > 0; step /= 2) {
            for (u32 pair = threadIdx.x; pair < padded / 2; pair += blockDim.x) {
                const u32 a = 2 * pair - pair % step;
                // The first step of a merge mirrors, the later ones shift.
                const u32 b = step == size / 2 ? a + size - 1 - 2 * (a % step) : a + step;
                if (b < n && keys[b] > keys[a]) {
                    const K larger = keys[b];
                    keys[b] = keys[a];
                    keys[a] = larger;
                }
            }
            __syncthreads();
        }
    }
}

}  // namespace nearfield
