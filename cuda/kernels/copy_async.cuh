// Copies from global to shared memory that run while the thread goes on.
//
// copy_chunk starts one of 16 bytes, commit_copies closes a group of them, wait_for_copies<N> waits until
// at most N groups are open; after that and a barrier all threads see the data.
// Source: PTX ISA, cp.async.
#pragma once

#include "device.cuh"

namespace nearfield {

/// Both aligned to 16 bytes; the first `valid` are read, the rest of the chunk becomes zero.
static __device__ __forceinline__ void copy_chunk(void* shared, const void* global, u32 valid) {
#if defined(NEARFIELD_SHIM)
    shim::copy_async(shared, global, 16, valid);
#else
    const u32 to = static_cast<u32>(__cvta_generic_to_shared(shared));
    // The L2 fetches the whole line of 128 bytes: slices are narrower, and their neighbours are wanted next.
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(global),
                 "r"(valid)
                 : "memory");
#endif
}

static __device__ __forceinline__ void commit_copies() {
#if defined(NEARFIELD_SHIM)
    shim::commit_copies();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <u32 Open>
static __device__ __forceinline__ void wait_for_copies() {
#if defined(NEARFIELD_SHIM)
    shim::wait_for_copies(Open);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(Open) : "memory");
#endif
}

}  // namespace nearfield
