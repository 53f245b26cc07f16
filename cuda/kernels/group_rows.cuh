// The rows of the groups that a scan left to a query, each scored by a warp: how rescore.cu and folded.cu walk
// them. Grid (queries, slices): blockIdx.y takes every gridDim.y-th group. Source: own.
#pragma once

#include "canonical.cuh"

namespace nearfield {

constexpr u32 kGroupRows = 32;

/// Rows from `first` on, of which those from `last` on are not there.
struct Span {
    u32 first;
    u32 last;
};

/// Keys and ids of `count` groups, 32 rows each: span_of(slot) says which rows, id_of(row) what a row is called,
/// kNoId where it may not answer, key_of(row) what it is worth, in lane 0 at least.
template <class SpanOf, class IdOf, class KeyOf>
static __device__ void score_groups(u32 count, double* keys, u32* ids, SpanOf span_of, IdOf id_of,
                                    KeyOf key_of) {
    for (u32 slot = blockIdx.y; slot < count; slot += gridDim.y) {
        const Span span = span_of(slot);
        for (u32 r = warp_id(); r < kGroupRows; r += blockDim.x / kWarp) {
            const u32 row = span.first + r;
            const u32 id = row < span.last ? id_of(row) : kNoId;
            const double key = id != kNoId ? key_of(row) : -static_cast<double>(infinity());
            if (lane_id() != 0) continue;
            const u64 at = static_cast<u64>(slot) * kGroupRows + r;
            keys[at] = key;
            ids[at] = id;
        }
    }
}

}  // namespace nearfield
