// Where a scan by thresholds puts the few scores that reach their query's threshold.
//
// Query q has counts[q] of them, in no order, from place q * capacity on; what does not fit is counted and
// left out. Cost: one atomic a survivor. Source: own.
#pragma once

#include "device.cuh"

namespace nearfield {

struct Survivors {
    const float* thresholds;
    float* scores;
    u32* rows;
    u32* counts;  // zero before
    u32 capacity;

    __device__ __forceinline__ float threshold_of(u32 query, u32 queries) const {
        return query < queries ? thresholds[query] : infinity();
    }
    __device__ __forceinline__ void append(u32 query, float score, u32 row) const {
        const u32 place = atomicAdd(counts + query, 1u);
        if (place >= capacity) return;
        const u64 at = static_cast<u64>(query) * capacity + place;
        scores[at] = score;
        rows[at] = row;
    }
};

}  // namespace nearfield
