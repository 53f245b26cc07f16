#include "cuda/runtime/memory.h"

#include <utility>

namespace nearfield::cuda {
namespace {

[[noreturn]] void refuse(const Device& device, std::size_t bytes, CUresult result) {
    std::size_t free = 0;
    std::size_t total = 0;
    const bool known = driver().cuMemGetInfo(&free, &total) == kCudaSuccess;
    const std::string state =
        known ? " (" + std::to_string(free) + " of " + std::to_string(total) + " are free)" : "";
    check(result, "allocate " + std::to_string(bytes) + " bytes on " + device.label() + state);
    throw DeviceError("cannot allocate on " + device.label() + ": got no memory and no error");
}

}  // namespace

DeviceBuffer::DeviceBuffer(const StreamRef& stream, std::size_t bytes, const Allocator* from)
    : stream_(stream), bytes_(bytes), from_(from) {
    if (bytes == 0) return;
    if (from != nullptr) {
        address_ = from->allocate(bytes, stream.handle);
        return;
    }
    const OnDevice here(*stream.device);
    const Driver& d = driver();
    pooled_ = stream.device->has_memory_pools();
    const CUresult result = pooled_ ? d.cuMemAllocAsync(&address_, bytes, stream.handle)
                                    : d.cuMemAlloc(&address_, bytes);
    if (result != kCudaSuccess || address_ == 0) refuse(*stream.device, bytes, result);
}

void DeviceBuffer::swap(DeviceBuffer& other) noexcept {
    std::swap(stream_, other.stream_);
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    std::swap(from_, other.from_);
    std::swap(pooled_, other.pooled_);
}

void DeviceBuffer::release() noexcept {
    if (address_ == 0) return;
    const CUdeviceptr address = std::exchange(address_, 0);
    const Driver* d = open_driver();
    if (d == nullptr) return;  // a child of the process that owns it
    try {
        if (from_ != nullptr) {
            from_->release(address, stream_.handle);
            return;
        }
        const OnDevice here(*stream_.device);
        // Where the stream is gone its work is done, and freeing may as well wait.
        if (!pooled_ || d->cuMemFreeAsync(address, stream_.handle) != kCudaSuccess) {
            d->cuMemFree(address);
        }
    } catch (...) {
        // At process exit the driver may be gone, and the memory with it.
    }
}

void copy_to_device(const StreamRef& stream, CUdeviceptr to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    const OnDevice here(*stream.device);
    check(driver().cuMemcpyHtoDAsync(to, from, bytes, stream.handle),
          "copy " + std::to_string(bytes) + " bytes to " + stream.device->label());
}

void copy_to_host(const StreamRef& stream, void* to, CUdeviceptr from, std::size_t bytes) {
    if (bytes == 0) return;
    const OnDevice here(*stream.device);
    check(driver().cuMemcpyDtoHAsync(to, from, bytes, stream.handle),
          "copy " + std::to_string(bytes) + " bytes from " + stream.device->label());
}

void clear(const StreamRef& stream, CUdeviceptr at, std::size_t bytes) {
    const OnDevice here(*stream.device);
    check(driver().cuMemsetD8Async(at, 0, bytes, stream.handle), "clear scratch memory");
}

void copy_between(const StreamRef& stream, const Place& to, const Place& from, std::size_t bytes) {
    if (bytes == 0) return;
    const CUcontext there = to.device.context();
    const CUcontext source = from.device.context();
    const OnDevice here(*stream.device);
    check(driver().cuMemcpyPeerAsync(to.address, there, from.address, source, bytes, stream.handle),
          "copy " + std::to_string(bytes) + " bytes from " + from.device.label() + " to " +
              to.device.label());
}

int device_of(CUdeviceptr address) {
    int ordinal = -1;
    const CUresult result = driver().cuPointerGetAttribute(&ordinal, kPointerOrdinal, address);
    if (result != kCudaSuccess || ordinal < 0) {
        throw DeviceError(
            "the array's memory is not known to the CUDA driver; it may have been "
            "freed, or lie on the host");
    }
    return ordinal;
}

}  // namespace nearfield::cuda
