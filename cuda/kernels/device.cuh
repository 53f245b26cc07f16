// What every kernel starts from: integers of fixed width, half-width floats, infinities, the sum and
// maximum of a warp.
//
// Kernels are C++17 for NVRTC, nvcc and g++ and see no header but ours. Compile with -fmad=false: a
// product and a sum are fused only where fmaf says so, so that results are the same bits on every device
// and under the shim (tests/cuda/shim). A kernel is `extern "C"`, takes pointers and numbers only, and is
// followed by NEARFIELD_KERNEL(name). Pointers to vectors are 16-byte aligned. Source: own.
#pragma once

#if !defined(NEARFIELD_SHIM)
#define NEARFIELD_KERNEL(name)
#define NEARFIELD_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

namespace nearfield {

using i8 = signed char;
using u8 = unsigned char;
using u16 = unsigned short;
using i32 = int;
using u32 = unsigned;
using i64 = long long;
using u64 = unsigned long long;

constexpr u32 kWarp = 32;
constexpr u32 kAllLanes = ~0u;
constexpr u32 kNoId = ~0u;  // where there is no row

static __device__ __forceinline__ float infinity() { return __uint_as_float(0x7f800000u); }

/// 16 bytes, loaded and stored at once.
struct __align__(16) Chunk {
    u32 word[4];
};

struct f16 {
    u16 bits;
};
struct bf16 {
    u16 bits;
};

/// A signed byte stored as its value + 128.
struct e8 {
    u8 bits;
};

static __device__ __forceinline__ float to_float(float x) { return x; }
static __device__ __forceinline__ float to_float(i8 x) { return static_cast<float>(x); }
static __device__ __forceinline__ float to_float(u8 x) { return static_cast<float>(x); }
static __device__ __forceinline__ float to_float(e8 x) {
    return static_cast<float>(static_cast<i32>(x.bits) - 128);
}
static __device__ __forceinline__ float to_float(bf16 x) {
    return __uint_as_float(static_cast<u32>(x.bits) << 16);
}
static __device__ __forceinline__ float to_float(f16 x) {
#if defined(NEARFIELD_SHIM)
    const u32 sign = (x.bits & 0x8000u) << 16, rest = x.bits & 0x7fffu;
    if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    // The exponent's bias is put right by a multiplication, which is exact for subnormal values too.
    const float size = __uint_as_float(rest << 13) * __uint_as_float(0x77800000u);
    return __uint_as_float(sign | __float_as_uint(size));
#else
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
    return value;
#endif
}

/// Rounded to nearest even; infinite where it is too large.
static __device__ __forceinline__ void from_float(float x, float& out) { out = x; }
static __device__ __forceinline__ void from_float(float x, bf16& out) {
    const u32 bits = __float_as_uint(x);
    const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    out.bits =
        static_cast<u16>(is_nan ? bits >> 16 | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
static __device__ __forceinline__ void from_float(float x, f16& out) {
#if defined(NEARFIELD_SHIM)
    const u32 bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    u32 half = 0;
    if (size > 0x7f800000u) {
        half = 0x7e00u;
    } else if (size >= 0x47800000u) {  // 65536 and more
        half = 0x7c00u;
    } else if (size >= 0x38800000u) {  // 2^-14 and more; a carry may make it infinite
        half = (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13;
    } else {
        // Subnormal: adding 1/2 leaves multiples of 2^-24 in the low bits, rounded.
        half = __float_as_uint(__uint_as_float(size) + 0.5f) - 0x3f000000u;
    }
    out.bits = static_cast<u16>(sign | half);
#else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(x));
#endif
}

/// The sum over the lanes of a warp, in every lane: pairwise, lane l with lane l ^ 16, 8, 4, 2, 1.
template <class T>
static __device__ __forceinline__ T warp_sum(T x) {
    for (i32 step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
    return x;
}
template <class T>
static __device__ __forceinline__ T warp_max(T x) {
    for (i32 step = 16; step > 0; step /= 2) {
        const T other = __shfl_xor_sync(kAllLanes, x, step);
        x = other > x ? other : x;
    }
    return x;
}

enum Metric : u32 { kIp = 0, kL2 = 1, kCosine = 2 };

static __device__ __forceinline__ u32 lane_id() { return threadIdx.x % kWarp; }
static __device__ __forceinline__ u32 warp_id() { return threadIdx.x / kWarp; }
static __device__ __forceinline__ u32 round_up(u32 n, u32 step) {
    return (n + step - 1) / step * step;
}

}  // namespace nearfield
