// A score and an id as one key: the larger key is the better pair, score descending, id ascending.
//
// Pairs are then sorted and selected as integers, and ties need no thought. A score of -0 becomes +0,
// which it equals. The key of zero bits is below every pair. Scores are not NaN. Source: own.
#pragma once

#include "device.cuh"

namespace nearfield {

/// Of a float64 score; one of a float32 score is a u64.
struct WideKey {
    u64 score;
    u32 id;
    __device__ bool operator>(const WideKey& other) const {
        return score > other.score || (score == other.score && id > other.id);
    }
    __device__ bool operator==(const WideKey& other) const {
        return score == other.score && id == other.id;
    }
};

static __device__ __forceinline__ u64 key_of(float score, u32 id) {
    const u32 bits = __float_as_uint(score + 0.0f);
    const u32 ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return static_cast<u64>(ordered) << 32 | ~id;
}
static __device__ __forceinline__ WideKey key_of(double score, u32 id) {
    const u64 bits = static_cast<u64>(__double_as_longlong(score + 0.0)), sign = 1ull << 63;
    return {bits & sign ? ~bits : bits | sign, ~id};
}

static __device__ __forceinline__ float score_of(u64 key) {
    const u32 ordered = static_cast<u32>(key >> 32);
    if (key == 0) return -infinity();
    return __uint_as_float(ordered & 0x80000000u ? ordered ^ 0x80000000u : ~ordered);
}
static __device__ __forceinline__ double score_of(WideKey key) {
    const u64 sign = 1ull << 63;
    if (key.score == 0) return -infinity();
    return __longlong_as_double(static_cast<i64>(key.score & sign ? key.score ^ sign : ~key.score));
}

static __device__ __forceinline__ u32 id_of(u64 key) { return ~static_cast<u32>(key); }
static __device__ __forceinline__ u32 id_of(WideKey key) { return ~key.id; }

// Keys digit by digit, eight bits at a time. shift: a multiple of 8 below bits_of.
static __device__ __forceinline__ u32 bits_of(u64) { return 64; }
static __device__ __forceinline__ u32 bits_of(WideKey) { return 96; }

static __device__ __forceinline__ u32 digit(u64 key, u32 shift) {
    return static_cast<u32>(key >> shift) & 255;
}
static __device__ __forceinline__ u32 digit(WideKey key, u32 shift) {
    return shift < 32 ? key.id >> shift & 255 : digit(key.score, shift - 32);
}

/// The key without the bits below shift; all bits may go.
static __device__ __forceinline__ u64 prefix_of(u64 key, u32 shift) {
    return shift < 64 ? key >> shift << shift : 0;
}
static __device__ __forceinline__ WideKey prefix_of(WideKey key, u32 shift) {
    if (shift < 32) return {key.score, key.id >> shift << shift};
    return {prefix_of(key.score, shift - 32), 0};
}

static __device__ __forceinline__ u64 with_digit(u64 prefix, u32 shift, u32 value) {
    return prefix | static_cast<u64>(value) << shift;
}
static __device__ __forceinline__ WideKey with_digit(WideKey prefix, u32 shift, u32 value) {
    if (shift < 32) return {prefix.score, prefix.id | value << shift};
    return {with_digit(prefix.score, shift - 32, value), prefix.id};
}

}  // namespace nearfield
