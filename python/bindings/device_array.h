// DeviceArray: memory of a device as Python sees it, and arrays of others taken by DLPack.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/cuda.h"

namespace nearfield::bindings {

namespace py = pybind11;

/// C-contiguous; freed when the last of its views is gone. May be written until it is handed out.
class DeviceArray {
public:
    DeviceArray(const std::vector<py::ssize_t>& shape, std::string dtype, int device,
                std::uintptr_t stream);

    const std::vector<std::int64_t>& shape() const noexcept { return shape_; }
    const std::string& dtype() const noexcept { return dtype_; }
    int device() const noexcept { return memory_->stream().device->ordinal(); }
    std::uintptr_t address() const noexcept { return memory_->address(); }
    std::size_t bytes() const noexcept { return memory_->bytes(); }
    cuda::StreamRef stream() const noexcept { return memory_->stream(); }

    /// A DLPack capsule; the consumer's stream waits for ours.
    py::capsule dlpack(const py::object& stream, const py::object& max_version,
                       const py::object& dl_device, const py::object& copy) const;
    py::dict cuda_array_interface() const;
    /// The same memory in another shape of as many elements.
    DeviceArray reshaped(const std::vector<py::ssize_t>& shape) const;
    /// A copy on the host; waits.
    py::array numpy() const;

private:
    std::shared_ptr<cuda::DeviceBuffer> memory_;
    std::vector<std::int64_t> shape_;
    std::string dtype_;
};

/// (address, device type, device, dtype name, shape, strides in elements or None, keeper): what a capsule
/// holds. The keeper frees it; the capsule is used up.
py::tuple open_dlpack(const py::capsule& capsule);

cuda::StreamRef stream_of(int device, std::uintptr_t handle);

}  // namespace nearfield::bindings
