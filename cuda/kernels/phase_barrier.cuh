// Barriers in shared memory that threads and copies of boxes arrive at, phase after phase (sm_90).
//
// A phase is over once all arrivals that init() counted and all bytes that were announced are there; the next
// begins at once. wait(parity) returns when the phase of that parity is over, so a thread that waits for
// every phase asks for 0, 1, 0, ...; before the first, parity 1 counts as over.
// Source: PTX ISA, mbarrier.
#pragma once

#include "device.cuh"

#if defined(NEARFIELD_SHIM) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define NEARFIELD_HAS_WARPGROUPS 1
#endif

namespace nearfield {

#if defined(NEARFIELD_HAS_WARPGROUPS)

/// An address within shared memory, as instructions take it.
static __device__ __forceinline__ u32 shared_address(const void* at) {
#if defined(NEARFIELD_SHIM)
    return shim::shared_address(at);
#else
    return static_cast<u32>(__cvta_generic_to_shared(at));
#endif
}

struct PhaseBarrier {
    u64 state;

    /// One thread, before fence_barriers() and a barrier of the block.
    __device__ __forceinline__ void init(u32 arrivals) {
#if defined(NEARFIELD_SHIM)
        shim::init_barrier(this, arrivals);
#else
        asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(this)),
                     "r"(arrivals)
                     : "memory");
#endif
    }

    __device__ __forceinline__ void arrive() {
#if defined(NEARFIELD_SHIM)
        shim::arrive_at_barrier(this, 0);
#else
        asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(this))
                     : "memory");
#endif
    }

    /// Arrives, and lets the phase wait for that many bytes more.
    __device__ __forceinline__ void arrive_and_expect(u32 bytes) {
#if defined(NEARFIELD_SHIM)
        shim::arrive_at_barrier(this, bytes);
#else
        asm volatile(
            "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(this)),
            "r"(bytes)
            : "memory");
#endif
    }

    __device__ __forceinline__ void wait(u32 parity) {
#if defined(NEARFIELD_SHIM)
        shim::wait_at_barrier(this, parity);
#else
        asm volatile(
            "{\n"
            ".reg .pred done;\n"
            "again:\n"
            "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
            "@done bra over;\n"
            "bra again;\n"
            "over:\n"
            "}" ::"r"(shared_address(this)),
            "r"(parity)
            : "memory");
#endif
    }
};

/// What init() did is seen by copies too.
static __device__ __forceinline__ void fence_barriers() {
#if defined(NEARFIELD_SHIM)
    shim::fence_barriers();
#else
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async;" ::: "memory");
#endif
}

#endif

}  // namespace nearfield
