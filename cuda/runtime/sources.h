// The sources of the kernels, which the build puts into the library as text: what runs is what was
// built, wherever the library lies.
#pragma once

#include <span>

namespace nearfield::cuda {

struct Source {
    const char* name;  // "topk.cu", "device.cuh"
    const char* text;
};

/// Of cuda/kernels, by name.
std::span<const Source> kernel_sources() noexcept;

}  // namespace nearfield::cuda
