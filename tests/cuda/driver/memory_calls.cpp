// Memory and copies of the stand-in driver.
#include <cstring>
#include <vector>

#include "exports.h"

using namespace nearfield::cuda;  // names of the interface

namespace {

CUresult allocate(standin::Machine& m, int device, CUdeviceptr* address, std::size_t bytes) {
    *address = m.memory.allocate(device, bytes);
    if (*address == 0 && bytes != 0) {
        // What is to be freed in the order of a stream may make room.
        m.streams.run_all(device);
        *address = m.memory.allocate(device, bytes);
    }
    return *address != 0 ? 0 : bytes == 0 ? 1 : kCudaOutOfMemory;
}

void* at(CUdeviceptr address) {
    return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address));
}

void fail(standin::Machine& m, int code, const char* what) {
    if (m.failed == 0) m.failure = what;
    m.failed = code;
}

}  // namespace

STANDIN_EXPORT CUresult cuMemGetInfo(std::size_t* free, std::size_t* total) {
    STANDIN_ENTER(cuMemGetInfo);
    STANDIN_NEEDS_CONTEXT();
    *free = m.memory.free_bytes(device);
    *total = static_cast<std::size_t>(standin::number("STANDIN_MEMORY", 1L << 30));
    return 0;
}

STANDIN_EXPORT CUresult cuMemAlloc(CUdeviceptr* address, std::size_t bytes) {
    STANDIN_ENTER(cuMemAlloc);
    STANDIN_NEEDS_CONTEXT();
    return allocate(m, device, address, bytes);
}

STANDIN_EXPORT CUresult cuMemFree(CUdeviceptr address) {
    STANDIN_ENTER(cuMemFree);
    STANDIN_NEEDS_CONTEXT();
    m.streams.run_all(device);
    return m.memory.release(address) ? 0 : 1;
}

STANDIN_EXPORT CUresult cuMemAllocAsync(CUdeviceptr* address, std::size_t bytes, CUstream stream) {
    STANDIN_ENTER(cuMemAllocAsync);
    STANDIN_NEEDS_CONTEXT();
    STANDIN_NEEDS_STREAM(stream);
    return allocate(m, device, address, bytes);
}

STANDIN_EXPORT CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
    STANDIN_ENTER(cuMemFreeAsync);
    STANDIN_NEEDS_CONTEXT();
    STANDIN_NEEDS_STREAM(stream);
    if (m.memory.device_of(address) != device) return 1;
    m.streams.enqueue(on, [&m, address] {
        if (!m.memory.release(address)) fail(m, kCudaIllegalAddress, "a block is freed twice");
    });
    return 0;
}

// Pageable memory is read before the call returns, as by the driver.
STANDIN_EXPORT CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, std::size_t bytes,
                                          CUstream stream) {
    STANDIN_ENTER(cuMemcpyHtoDAsync);
    STANDIN_NEEDS_CONTEXT();
    STANDIN_NEEDS_STREAM(stream);
    if (!m.memory.holds(to, bytes)) return 1;
    const auto* first = static_cast<const unsigned char*>(from);
    m.streams.enqueue(on, [&m, to, kept = std::vector<unsigned char>(first, first + bytes)] {
        if (!m.memory.holds(to, kept.size()))
            return fail(m, kCudaIllegalAddress, "copy to freed memory");
        std::memcpy(at(to), kept.data(), kept.size());
    });
    return 0;
}

STANDIN_EXPORT CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, std::size_t bytes,
                                          CUstream stream) {
    STANDIN_ENTER(cuMemcpyDtoHAsync);
    STANDIN_NEEDS_CONTEXT();
    STANDIN_NEEDS_STREAM(stream);
    if (!m.memory.holds(from, bytes)) return 1;
    m.streams.enqueue(on, [&m, to, from, bytes] {
        if (!m.memory.holds(from, bytes))
            return fail(m, kCudaIllegalAddress, "copy of freed memory");
        std::memcpy(to, at(from), bytes);
    });
    return 0;
}

STANDIN_EXPORT CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                                          CUcontext from_context, std::size_t bytes,
                                          CUstream stream) {
    STANDIN_ENTER(cuMemcpyPeerAsync);
    STANDIN_NEEDS_CONTEXT();
    STANDIN_NEEDS_STREAM(stream);
    const auto lies = [&m](CUdeviceptr address, std::size_t size, CUcontext context) {
        return m.memory.holds(address, size) &&
               standin::context_of(m.memory.device_of(address)) == context;
    };
    if (!lies(to, bytes, to_context) || !lies(from, bytes, from_context)) return 1;
    m.streams.enqueue(on, [&m, to, from, bytes] {
        if (!m.memory.holds(from, bytes) || !m.memory.holds(to, bytes))
            return fail(m, kCudaIllegalAddress, "copy between devices of freed memory");
        std::memcpy(at(to), at(from), bytes);
    });
    return 0;
}

STANDIN_EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, std::size_t bytes,
                                        CUstream stream) {
    STANDIN_ENTER(cuMemsetD8Async);
    STANDIN_NEEDS_CONTEXT();
    STANDIN_NEEDS_STREAM(stream);
    if (!m.memory.holds(to, bytes)) return 1;
    m.streams.enqueue(on, [&m, to, value, bytes] {
        if (!m.memory.holds(to, bytes))
            return fail(m, kCudaIllegalAddress, "writes to freed memory");
        std::memset(at(to), value, bytes);
    });
    return 0;
}

STANDIN_EXPORT CUresult cuPointerGetAttribute(void* value, int attribute, CUdeviceptr address) {
    STANDIN_ENTER(cuPointerGetAttribute);
    const int device = m.memory.device_of(address);
    if (device < 0) return 1;
    if (attribute == kPointerContext) *static_cast<CUcontext*>(value) = standin::context_of(device);
    if (attribute == kPointerOrdinal) *static_cast<int*>(value) = device;
    return 0;
}
