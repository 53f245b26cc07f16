// Sorting keys in memory, largest first, by a block.
//
// A bitonic network (Batcher, "Sorting networks and their applications", 1968) with every comparison the same
// way round, so that a list of any length sorts: what would be past its end is the smallest and never moves.
// Cost: n log^2 n / 4 comparisons. Source: own.
#pragma once

#include "key.cuh"

namespace nearfield {

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
