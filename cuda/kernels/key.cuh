// A score and an id as one number: the larger key is the better pair, score descending, id ascending.
//
// Pairs are then sorted and selected as integers, and ties need no thought. A score of -0 becomes +0,
// which it equals. kNoKey is below every pair. Scores are not NaN. Source: own.
#pragma once

#include "device.cuh"

namespace nearfield {

constexpr u64 kNoKey = 0;

static __device__ __forceinline__ u64 key_of(float score, u32 id) {
    const u32 bits = __float_as_uint(score + 0.0f);
    const u32 ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return static_cast<u64>(ordered) << 32 | ~id;
}

static __device__ __forceinline__ float score_of(u64 key) {
    const u32 ordered = static_cast<u32>(key >> 32);
    if (key == kNoKey) return -infinity();
    return __uint_as_float(ordered & 0x80000000u ? ordered ^ 0x80000000u : ~ordered);
}

static __device__ __forceinline__ u32 id_of(u64 key) {
    return key == kNoKey ? kNoId : ~static_cast<u32>(key);
}

}  // namespace nearfield
