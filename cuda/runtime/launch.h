// Launching kernels: a grid, a stream and arguments whose types are the kernel's own.
//
// Arguments are copied before the call returns; each lies in a slot of eight bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "cuda/runtime/stream.h"

namespace nearfield::cuda {

struct Grid {
    std::array<unsigned, 3> blocks{1, 1, 1};
    std::array<unsigned, 3> threads{1, 1, 1};
    std::size_t shared_bytes = 0;
};

struct Kernel {
    const char* source;  // "topk.cu"
    const char* name;
};

namespace detail {
using Slot = std::array<unsigned char, 8>;
void launch(const StreamRef& stream, const Kernel& kernel, const Grid& grid, Slot* slots,
            std::size_t count);
}  // namespace detail

/// Enqueues one launch. DeviceError where the kernel does not compile or the launch is refused; a
/// kernel that fails later is told by whatever waits for it.
template <class... Arguments>
void launch(const StreamRef& stream, const Kernel& kernel, const Grid& grid,
            const Arguments&... arguments) {
    static_assert(((std::is_arithmetic_v<Arguments> || std::is_pointer_v<Arguments>) && ...));
    static_assert(((sizeof(Arguments) <= sizeof(detail::Slot)) && ...));
    alignas(8) std::array<detail::Slot, sizeof...(Arguments)> slots{};
    std::size_t i = 0;
    (std::memcpy(slots[i++].data(), &arguments, sizeof(Arguments)), ...);
    detail::launch(stream, kernel, grid, slots.data(), slots.size());
}

}  // namespace nearfield::cuda
