// Memory of a device.
//
// A DeviceBuffer is allocated and freed in the order of a stream: from the caller's allocator where
// there is one (torch's or CuPy's pool, so that the pools do not fight over memory), else from the
// driver's pool. Freeing does not wait; whoever uses the memory on another stream orders the two.
#pragma once

#include <cstddef>
#include <functional>

#include "cuda/runtime/stream.h"

namespace nearfield::cuda {

/// Memory of somebody else's making. `allocate` throws or returns an address aligned to 256 bytes;
/// both may be called from any thread.
struct Allocator {
    std::function<CUdeviceptr(std::size_t bytes, CUstream stream)> allocate;
    std::function<void(CUdeviceptr address, CUstream stream)> release;
};

class DeviceBuffer {
public:
    DeviceBuffer() = default;
    /// DeviceError where there is too little memory. `from` null: the driver's; else it must outlive
    /// the buffer.
    DeviceBuffer(const StreamRef& stream, std::size_t bytes, const Allocator* from = nullptr);
    ~DeviceBuffer() { release(); }
    DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
    DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
        swap(other);
        return *this;
    }

    CUdeviceptr address() const noexcept { return address_; }
    std::size_t bytes() const noexcept { return bytes_; }
    const StreamRef& stream() const noexcept { return stream_; }

private:
    void swap(DeviceBuffer& other) noexcept;
    void release() noexcept;

    StreamRef stream_;
    CUdeviceptr address_ = 0;
    std::size_t bytes_ = 0;
    const Allocator* from_ = nullptr;
    bool pooled_ = false;
};

/// Enqueues copies between host and device. Host memory must stay until the stream is synchronised.
void copy_to_device(const StreamRef& stream, CUdeviceptr to, const void* from, std::size_t bytes);
void copy_to_host(const StreamRef& stream, void* to, CUdeviceptr from, std::size_t bytes);

/// Enqueues the writing of zeros.
void clear(const StreamRef& stream, CUdeviceptr at, std::size_t bytes);

/// Memory of a device.
struct Place {
    const Device& device;
    CUdeviceptr address;
};

/// Enqueues a copy from one device to another: directly where the machine can, else through the host, which
/// the driver sees to. stream: of either.
void copy_between(const StreamRef& stream, const Place& to, const Place& from, std::size_t bytes);

/// The device on whose memory `address` lies; DeviceError where it is no device memory.
int device_of(CUdeviceptr address);

}  // namespace nearfield::cuda
