// From a kernel source to a cubin for one architecture, by way of the cache.
//
// Cost: about 0.1 s a source at the first use on a machine, under a millisecond after that.
#pragma once

#include <span>
#include <string>

#include "cuda/runtime/cubin_cache.h"
#include "cuda/runtime/nvrtc.h"
#include "cuda/runtime/sources.h"

namespace nearfield::cuda {

/// Compute capability of a device.
struct Capability {
    int major = 0;
    int minor = 0;
};

inline constexpr int kOldestCapability = 80;

/// "sm_90a" for 9.0: the features of just that chip, where it has ones that no other will have.
/// DeviceError for a device older than 8.0 or one that this NVRTC does not know.
std::string architecture_of(Capability capability, const Nvrtc& compiler);

/// The cubin of sources[name]; the others are what it may include. DeviceError with the compiler's log
/// where it does not compile. compiled_now: set where the cache had nothing; may be null.
std::string compile(const std::string& name, std::span<const Source> sources,
                    const std::string& architecture, const Nvrtc& compiler, const CubinCache& cache,
                    bool* compiled_now = nullptr);

}  // namespace nearfield::cuda
