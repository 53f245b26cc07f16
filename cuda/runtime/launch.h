// Launching kernels: a grid, a stream and arguments whose types are the kernel's own.
//
// Arguments are copied before the call returns: numbers and addresses from slots of eight bytes, maps of
// matrices whole.
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

template <class Argument>
inline constexpr bool is_map = std::is_same_v<Argument, CUtensorMap>;

/// Where the driver reads an argument: a map where it is, anything else from its slot.
template <class Argument>
void* place(const Argument& argument, Slot& slot) {
    if constexpr (is_map<Argument>) {
        return const_cast<CUtensorMap*>(&argument);
    } else {
        static_assert(std::is_arithmetic_v<Argument> || std::is_pointer_v<Argument>);
        static_assert(sizeof(Argument) <= sizeof(Slot));
        std::memcpy(slot.data(), &argument, sizeof(Argument));
        return slot.data();
    }
}

void launch(const StreamRef& stream, const Kernel& kernel, const Grid& grid, void** arguments);

}  // namespace detail

/// Enqueues one launch. DeviceError where the kernel does not compile or the launch is refused; a
/// kernel that fails later is told by whatever waits for it.
template <class... Arguments>
void launch(const StreamRef& stream, const Kernel& kernel, const Grid& grid,
            const Arguments&... arguments) {
    alignas(8) std::array<detail::Slot, sizeof...(Arguments)> slots{};
    std::size_t i = 0;
    std::array<void*, sizeof...(Arguments)> places{detail::place(arguments, slots[i++])...};
    detail::launch(stream, kernel, grid, places.data());
}

}  // namespace nearfield::cuda
