// Copies of boxes of a matrix in global memory into shared memory by the copy engine (sm_90).
//
// A map describes the matrix and the box; the host makes it (cuTensorMapEncodeTiled). A box is rows of 128
// bytes, one after the other from an address that is a multiple of 1024, with swizzling: 16 bytes that belong
// at chunk c of row r lie at chunk c ^ r % 8, so that eight rows of a chunk meet all banks. What is outside the
// matrix is zero. The bytes of the whole box, zeros as well, arrive at a barrier.
// Source: PTX ISA, cp.async.bulk.tensor and "Swizzling modes".
#pragma once

#include "phase_barrier.cuh"

namespace nearfield {

constexpr u32 kBoxBytes = 128;  // of a row
constexpr u32 kBoxAlign = 1024;

/// CUtensorMap: opaque.
struct __align__(128) BoxMap {
    u64 words[16];
};

#if defined(NEARFIELD_HAS_WARPGROUPS)

/// One thread. The box begins at element `column` of row `row`.
static __device__ __forceinline__ void copy_box(void* shared, const BoxMap& map, u32 column,
                                                u32 row, PhaseBarrier& arrives) {
#if defined(NEARFIELD_SHIM)
    shim::copy_box(shared, &map, column, row, &arrives);
#else
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%2, %3}], [%4];" ::"r"(shared_address(shared)),
        "l"(reinterpret_cast<u64>(&map)), "r"(column), "r"(row), "r"(shared_address(&arrives))
        : "memory");
#endif
}

#endif

}  // namespace nearfield
