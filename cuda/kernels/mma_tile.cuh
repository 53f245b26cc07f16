// A product of a 16 x 32-byte and a 32-byte x 8 tile by a warp, added to 16 x 8 sums: tensor cores, or
// plain loops under the shim on the same fragments.
//
// Who holds what, with g = lane / 4 and t = lane % 4 (PTX ISA, mma.m16n8k16 and m16n8k32):
//   a[r]  row g + 8 (r % 2),  bytes 4 t + 16 (r / 2) and the 3 after it
//   b[r]  column g,           the same bytes of the other operand, r = 0, 1 as a's r / 2
//   d[r]  row g + 8 (r / 2),  column 2 t + r % 2
// Elements: bf16 or f16, float32 sums; or signed bytes times signed or unsigned ones, integer sums, which
// are exact.
// Source: PTX ISA.
#pragma once

#include "device.cuh"

namespace nearfield {

#if defined(NEARFIELD_SHIM)

/// What a lane gives to the product of its warp.
template <class Sum>
struct MmaLane {
    const u32* a;
    const u32* b;
    Sum* d;
};

/// All lanes' tiles put together, multiplied, and the sums taken apart again.
template <class Mma>
static void multiply_lanes(void* const* lanes) {
    u8 a[16][32], b[8][32];
    const auto lane = [&](u32 l) { return static_cast<MmaLane<typename Mma::Sum>*>(lanes[l]); };
    for (u32 l = 0; l < kWarp; ++l) {
        const u32 g = l / 4, t = l % 4;
        for (u32 byte = 0; byte < 4; ++byte) {
            for (u32 r = 0; r < 4; ++r) {
                a[g + 8 * (r % 2)][4 * t + 16 * (r / 2) + byte] =
                    static_cast<u8>(lane(l)->a[r] >> 8 * byte);
            }
            for (u32 r = 0; r < 2; ++r) {
                b[g][4 * t + 16 * r + byte] = static_cast<u8>(lane(l)->b[r] >> 8 * byte);
            }
        }
    }
    for (u32 l = 0; l < kWarp; ++l) {
        for (u32 r = 0; r < 4; ++r) {
            Mma::add_products(lane(l)->d[r], a[l / 4 + 8 * (r / 2)], b[2 * (l % 4) + r % 2]);
        }
    }
}

template <class Mma>
static __device__ void multiply(typename Mma::Sum (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    MmaLane<typename Mma::Sum> mine = {a, b, d};
    shim::warp_run(&mine, multiply_lanes<Mma>);
}

/// 16 halves of each row; T is f16 or bf16.
template <class T>
struct HalfMma {
    using Sum = float;
    static void add_products(float& sum, const u8* a, const u8* b) {
        for (u32 k = 0; k < 32; k += 2) {
            const T x = {static_cast<u16>(a[k] | a[k + 1] << 8)};
            const T y = {static_cast<u16>(b[k] | b[k + 1] << 8)};
            sum += to_float(x) * to_float(y);
        }
    }
};

struct ByteMma {
    using Sum = i32;
    static void add_products(i32& sum, const u8* a, const u8* b) {
        for (u32 k = 0; k < 32; ++k) sum += static_cast<i8>(a[k]) * b[k];
    }
};

struct SignedMma {
    using Sum = i32;
    static void add_products(i32& sum, const u8* a, const u8* b) {
        for (u32 k = 0; k < 32; ++k) sum += static_cast<i8>(a[k]) * static_cast<i8>(b[k]);
    }
};

#else

#define NEARFIELD_MMA(SHAPE_AND_TYPES, CONSTRAINT)                                               \
    asm(SHAPE_AND_TYPES " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                 \
        : "+" CONSTRAINT(d[0]), "+" CONSTRAINT(d[1]), "+" CONSTRAINT(d[2]), "+" CONSTRAINT(d[3]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

template <class T>
struct HalfMma;
template <>
struct HalfMma<bf16> {
    using Sum = float;
    static __device__ __forceinline__ void run(float (&d)[4], const u32 (&a)[4],
                                               const u32 (&b)[2]) {
        NEARFIELD_MMA("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "f");
    }
};
template <>
struct HalfMma<f16> {
    using Sum = float;
    static __device__ __forceinline__ void run(float (&d)[4], const u32 (&a)[4],
                                               const u32 (&b)[2]) {
        NEARFIELD_MMA("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "f");
    }
};
struct ByteMma {
    using Sum = i32;
    static __device__ __forceinline__ void run(i32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
        NEARFIELD_MMA("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32", "r");
    }
};
struct SignedMma {
    using Sum = i32;
    static __device__ __forceinline__ void run(i32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
        NEARFIELD_MMA("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", "r");
    }
};

template <class Mma>
static __device__ __forceinline__ void multiply(typename Mma::Sum (&d)[4], const u32 (&a)[4],
                                                const u32 (&b)[2]) {
    Mma::run(d, a, b);
}

#endif

}  // namespace nearfield
