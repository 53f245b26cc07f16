// Between host and device while something is trained: uploads, and downloads that wait.
// Source: own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/runtime/memory.h"

namespace nearfield::cuda {

constexpr unsigned blocks_for(std::size_t count, std::size_t each) noexcept {
    return static_cast<unsigned>((count + each - 1) / each);
}

/// Memory of the device with these values in it.
template <class T>
DeviceBuffer uploaded(const StreamRef& stream, const T* values, std::size_t n) {
    DeviceBuffer there(stream, n * sizeof(T));
    copy_to_device(stream, there.address(), values, n * sizeof(T));
    return there;
}

/// What lies on the device once all work before it is done; waits for that.
template <class T>
std::vector<T> downloaded(const StreamRef& stream, CUdeviceptr from, std::size_t n) {
    auto values = std::make_unique<std::vector<T>>(n);
    try {
        copy_to_host(stream, values->data(), from, n * sizeof(T));
        stream.synchronize();
    } catch (...) {
        // The device may still write there.
        static_cast<void>(values.release());
        throw;
    }
    return std::move(*values);
}

}  // namespace nearfield::cuda
