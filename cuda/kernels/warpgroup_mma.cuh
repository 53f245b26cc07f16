// A product of 64 rows of one tile in shared memory with 256 rows of another, by a warpgroup of 128 threads,
// added to 64 x 256 sums in its registers (sm_90a).
//
// Tiles are boxes (box_copy.cuh): rows of 128 bytes, swizzled; each step multiplies 32 bytes of every row.
// Who holds what, with g = lane / 4 and t = lane % 4 (PTX ISA, wgmma.m64nNk16, fragment D):
//   sum[i]  row 16 w + g + 8 (i / 2 % 2) of the first tile, w the warp in its warpgroup,
//           row 8 (i / 4) + 2 t + i % 2 of the second
// Multiplying goes on while the threads do: fence_sums() before the first product and whenever the sums were
// touched, commit_products() behind some, wait_for_products<N>() until at most N such groups are under way.
// Only then may tiles be overwritten, and sums be read after wait_for_sums().
// Elements: bf16 or f16, float32 sums; or signed bytes times signed or unsigned ones, integer sums, which are
// exact.
// Source: PTX ISA, wgmma.
#pragma once

#include "box_copy.cuh"

namespace nearfield {

constexpr u32 kWarpgroup = 128;
constexpr u32 kGroupQueries = 64;  // rows of the first tile
constexpr u32 kGroupColumns = 256;
constexpr u32 kSums = 128;  // of a thread
constexpr u32 kStepBytes = 32;

static __device__ __forceinline__ u32 first_row_of_sum(u32 i) {
    return threadIdx.x % kWarpgroup / kWarp * 16 + lane_id() / 4 + 8 * (i / 2 % 2);
}
static __device__ __forceinline__ u32 second_row_of_sum(u32 i) {
    return 8 * (i / 4) + 2 * (lane_id() % 4) + i % 2;
}

#if defined(NEARFIELD_HAS_WARPGROUPS)

/// Where a tile begins, for the multiplier: 14 bits of the address over 16, 8 rows 1024 bytes apart, swizzling
/// of 128 bytes. A step of 32 bytes adds 2.
static __device__ __forceinline__ u64 tile_descriptor(const void* tile) {
    const u64 start = (shared_address(tile) & 0x3ffffu) >> 4;
    return start | u64{1} << 16 | u64{kBoxAlign / 16} << 32 | u64{1} << 62;
}

#if defined(NEARFIELD_SHIM)

/// What the lanes of a warp add by one step; sums are theirs, in the order of lanes.
template <class Way>
static void add_step(void* const* sums, u32 warp, u64 first, u64 second) {
    static float a[16][kStepBytes], b[kStepBytes][kGroupColumns];  // elements; one launch at a time
    const u32 count = Way::read(shim::tile_bytes(first, 16 * warp), 0, nullptr);
    for (u32 row = 0; row < 16; ++row) {
        const u8* const bytes = shim::tile_bytes(first, 16 * warp + row);
        for (u32 k = 0; k < count; ++k) Way::read(bytes, k, &a[row][k]);
    }
    for (u32 row = 0; row < kGroupColumns; ++row) {
        const u8* const bytes = shim::tile_bytes(second, row);
        for (u32 k = 0; k < count; ++k) Way::read_second(bytes, k, &b[k][row]);
    }
    for (u32 row = 0; row < 16; ++row) {
        typename Way::Sum out[kGroupColumns] = {};
        for (u32 k = 0; k < count; ++k) {
            for (u32 column = 0; column < kGroupColumns; ++column) {
                out[column] += static_cast<typename Way::Sum>(a[row][k] * b[k][column]);
            }
        }
        for (u32 column = 0; column < kGroupColumns; ++column) {
            const u32 lane = row % 8 * 4 + column % 8 / 2;
            const u32 i = column / 8 * 4 + row / 8 * 2 + column % 2;
            static_cast<typename Way::Sum*>(sums[lane])[i] += out[column];
        }
    }
}

template <class T>
struct GroupHalves {
    using Sum = float;
    static u32 read(const u8* bytes, u32 k, float* out) {
        const T x = {static_cast<u16>(bytes[2 * k] | bytes[2 * k + 1] << 8)};
        if (out != nullptr) *out = to_float(x);
        return kStepBytes / 2;
    }
    static void read_second(const u8* bytes, u32 k, float* out) { read(bytes, k, out); }
};
struct GroupBytes {
    using Sum = i32;
    static u32 read(const u8* bytes, u32 k, float* out) {
        if (out != nullptr) *out = static_cast<float>(static_cast<i8>(bytes[k]));
        return kStepBytes;
    }
    static void read_second(const u8* bytes, u32 k, float* out) {
        *out = static_cast<float>(bytes[k]);
    }
};
struct GroupSigned : GroupBytes {
    static void read_second(const u8* bytes, u32 k, float* out) { read(bytes, k, out); }
};

template <class Way>
static __device__ void multiply_tiles(typename Way::Sum (&sum)[kSums], u64 first, u64 second,
                                      bool adds) {
    shim::start_product(sum, sizeof(sum), first, second, adds, add_step<Way>);
}
static __device__ void fence_sums() { shim::fence_sums(); }
static __device__ void commit_products() { shim::commit_products(); }
template <u32 Open>
static __device__ void wait_for_products() {
    shim::wait_for_products(Open);
}
template <class Sum>
static __device__ void wait_for_sums(Sum (&)[kSums]) {
    shim::wait_for_products(0);
}

#else

#define NEARFIELD_128_SUMS                                                                  \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, " \
    "%19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, " \
    "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, " \
    "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, " \
    "%70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, " \
    "%87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, "   \
    "%103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, "  \
    "%117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define NEARFIELD_8_OF(C, I)                                                                   \
    "+" C(sum[I]), "+" C(sum[I + 1]), "+" C(sum[I + 2]), "+" C(sum[I + 3]), "+" C(sum[I + 4]), \
        "+" C(sum[I + 5]), "+" C(sum[I + 6]), "+" C(sum[I + 7])
#define NEARFIELD_64_OF(C, I)                                                            \
    NEARFIELD_8_OF(C, I), NEARFIELD_8_OF(C, I + 8), NEARFIELD_8_OF(C, I + 16),           \
        NEARFIELD_8_OF(C, I + 24), NEARFIELD_8_OF(C, I + 32), NEARFIELD_8_OF(C, I + 40), \
        NEARFIELD_8_OF(C, I + 48), NEARFIELD_8_OF(C, I + 56)
#define NEARFIELD_MULTIPLY(SHAPE_AND_TYPES, REST, CONSTRAINT)                   \
    asm volatile(                                                               \
        "{\n.reg .pred adds;\nsetp.ne.b32 adds, %130, 0;\n"                     \
        "wgmma.mma_async.sync.aligned." SHAPE_AND_TYPES " {" NEARFIELD_128_SUMS \
        "}, %128, %129, adds" REST ";\n}"                                       \
        : NEARFIELD_64_OF(CONSTRAINT, 0), NEARFIELD_64_OF(CONSTRAINT, 64)       \
        : "l"(first), "l"(second), "r"(static_cast<u32>(adds)))

template <class T>
struct GroupHalves;
template <>
struct GroupHalves<bf16> {
    using Sum = float;
    static __device__ __forceinline__ void run(float (&sum)[kSums], u64 first, u64 second,
                                               bool adds) {
        NEARFIELD_MULTIPLY("m64n256k16.f32.bf16.bf16", ", 1, 1, 0, 0", "f");
    }
};
template <>
struct GroupHalves<f16> {
    using Sum = float;
    static __device__ __forceinline__ void run(float (&sum)[kSums], u64 first, u64 second,
                                               bool adds) {
        NEARFIELD_MULTIPLY("m64n256k16.f32.f16.f16", ", 1, 1, 0, 0", "f");
    }
};
struct GroupBytes {
    using Sum = i32;
    static __device__ __forceinline__ void run(i32 (&sum)[kSums], u64 first, u64 second,
                                               bool adds) {
        NEARFIELD_MULTIPLY("m64n256k32.s32.s8.u8", "", "r");
    }
};
struct GroupSigned {
    using Sum = i32;
    static __device__ __forceinline__ void run(i32 (&sum)[kSums], u64 first, u64 second,
                                               bool adds) {
        NEARFIELD_MULTIPLY("m64n256k32.s32.s8.s8", "", "r");
    }
};

template <class Way>
static __device__ __forceinline__ void multiply_tiles(typename Way::Sum (&sum)[kSums], u64 first,
                                                      u64 second, bool adds) {
    Way::run(sum, first, second, adds);
}
static __device__ __forceinline__ void fence_sums() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
static __device__ __forceinline__ void commit_products() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <u32 Open>
static __device__ __forceinline__ void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Open) : "memory");
}

/// Until no product is under way. To a compiler the sums change in the products, not in the wait: that they do so here
/// too keeps what reads them behind it.
static __device__ __forceinline__ void wait_for_sums(float (&sum)[kSums]) {
    wait_for_products<0>();
    asm volatile("" : NEARFIELD_64_OF("f", 0), NEARFIELD_64_OF("f", 64)::"memory");
}
static __device__ __forceinline__ void wait_for_sums(i32 (&sum)[kSums]) {
    wait_for_products<0>();
    asm volatile("" : NEARFIELD_64_OF("r", 0), NEARFIELD_64_OF("r", 64)::"memory");
}

#endif

/// Registers that a thread may ask for: setmaxnreg takes no other number.
template <u32 Count>
constexpr bool is_register_count = Count >= 24 && Count <= 256 && Count % 8 == 0;

/// All warps of a warpgroup: how many registers a thread may use from here on. What some take others must
/// have given, or they wait for ever.
template <u32 Count>
static __device__ __forceinline__ void take_registers() {
    static_assert(is_register_count<Count>, "24 to 256, a multiple of 8");
#if !defined(NEARFIELD_SHIM)
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
#endif
}
template <u32 Count>
static __device__ __forceinline__ void give_registers() {
    static_assert(is_register_count<Count>, "24 to 256, a multiple of 8");
#if !defined(NEARFIELD_SHIM)
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
#endif
}

#endif

}  // namespace nearfield
