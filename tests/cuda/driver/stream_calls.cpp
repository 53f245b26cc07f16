// Streams, events, modules and launches of the stand-in driver.
#include <algorithm>
#include <cstring>
#include <exception>
#include <vector>

#include "box_map.h"
#include "exports.h"
#include "shim.h"

using namespace nearfield::cuda;  // names of the interface

namespace {

template <class Handle>
Handle handle_of(const void* object) {
    return reinterpret_cast<Handle>(const_cast<void*>(object));
}

/// Room for the largest parameter, a CUtensorMap.
struct alignas(CUtensorMap) Argument {
    unsigned char bytes[sizeof(CUtensorMap)];
};

void run_kernel(standin::Machine& m, const std::string& name, const unsigned (&grid)[3],
                const unsigned (&block)[3], std::size_t shared, std::vector<Argument> arguments) {
    if (m.failed != 0) return;
    std::vector<void*> slots;
    for (auto& argument : arguments) slots.push_back(argument.bytes);
    const auto seed = static_cast<std::uint64_t>(standin::number("STANDIN_SEED", 1));
    try {
        nearfield::shim::launch(name.c_str(), grid, block, shared, slots.data(),
                                seed + m.launches++);
    } catch (const std::exception& error) {
        m.failed = kCudaLaunchFailed;
        m.failure = name + ": " + error.what();
    }
}

/// Devices do not see each other's memory here, as on machines without peer access.
CUresult refuse_foreign(standin::Machine& m, const std::string& name, int owner) {
    m.failure = name + ": an argument is memory of device " + std::to_string(owner);
    return m.failed = kCudaLaunchFailed;
}

/// Unasked, 48 KiB less what the kernel declares itself: of any, to be on the safe side.
std::size_t shared_allowed(const standin::Machine& m, CUfunction function) {
    const auto asked = m.allowed.find(function);
    if (asked != m.allowed.end()) return asked->second;
    return 48 * 1024 - nearfield::shim::static_shared_size();
}

std::string architecture() {
    const std::string capability = standin::setting("STANDIN_CAPABILITY", "9.0");
    return "sm_" + capability.substr(0, capability.find('.')) +
           capability.substr(capability.find('.') + 1);
}

}  // namespace

STANDIN_EXPORT CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
    STANDIN_ENTER(cuStreamCreate);
    STANDIN_NEEDS_CONTEXT();
    const auto made = m.streams.add(device, (flags & kStreamNonBlocking) == 0);
    m.made_streams[made.get()] = made;
    *stream = handle_of<CUstream>(made.get());
    return 0;
}

STANDIN_EXPORT CUresult cuStreamDestroy(CUstream stream) {
    STANDIN_ENTER(cuStreamDestroy);
    const auto found = m.made_streams.find(stream);
    if (found == m.made_streams.end()) return kCudaInvalidHandle;
    m.streams.remove(found->second);
    m.made_streams.erase(found);
    return 0;
}

STANDIN_EXPORT CUresult cuStreamSynchronize(CUstream stream) {
    STANDIN_ENTER(cuStreamSynchronize);
    STANDIN_NEEDS_CONTEXT();
    STANDIN_NEEDS_STREAM(stream);
    m.streams.run(on);
    return m.failed;
}

STANDIN_EXPORT CUresult cuStreamGetCtx(CUstream stream, CUcontext* context) {
    STANDIN_ENTER(cuStreamGetCtx);
    STANDIN_NEEDS_CONTEXT();
    const auto on = standin::stream_of(stream);
    if (on == nullptr) return kCudaInvalidHandle;
    *context = standin::context_of(on->device);
    return 0;
}

STANDIN_EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
    STANDIN_ENTER(cuStreamWaitEvent);
    STANDIN_NEEDS_CONTEXT();
    STANDIN_NEEDS_STREAM(stream);
    const auto found = m.events.find(event);
    if (found == m.events.end()) return kCudaInvalidHandle;
    m.streams.wait(on, *found->second);
    return 0;
}

STANDIN_EXPORT CUresult cuEventCreate(CUevent* event, unsigned) {
    STANDIN_ENTER(cuEventCreate);
    STANDIN_NEEDS_CONTEXT();
    const auto made = std::make_shared<standin::Event>();
    m.events[made.get()] = made;
    *event = handle_of<CUevent>(made.get());
    return 0;
}

STANDIN_EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
    STANDIN_ENTER(cuEventRecord);
    STANDIN_NEEDS_CONTEXT();
    STANDIN_NEEDS_STREAM(stream);
    const auto found = m.events.find(event);
    if (found == m.events.end()) return kCudaInvalidHandle;
    *found->second = m.streams.record(on);
    return 0;
}

STANDIN_EXPORT CUresult cuEventSynchronize(CUevent event) {
    STANDIN_ENTER(cuEventSynchronize);
    const auto found = m.events.find(event);
    if (found == m.events.end()) return kCudaInvalidHandle;
    m.streams.reach(*found->second);
    return m.failed;
}

STANDIN_EXPORT CUresult cuEventQuery(CUevent event) {
    STANDIN_ENTER(cuEventQuery);
    const auto found = m.events.find(event);
    if (found == m.events.end()) return kCudaInvalidHandle;
    if (m.failed != 0) return m.failed;
    const auto& seconds = found->second->seconds;  // null: never recorded, which counts as done
    return seconds == nullptr || *seconds >= 0 ? kCudaSuccess : kCudaNotReady;
}

STANDIN_EXPORT CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
    STANDIN_ENTER(cuEventElapsedTime);
    const auto a = m.events.find(start);
    const auto b = m.events.find(end);
    if (a == m.events.end() || b == m.events.end()) return kCudaInvalidHandle;
    if (a->second->seconds == nullptr || b->second->seconds == nullptr) return kCudaInvalidHandle;
    const double from = *a->second->seconds;
    const double to = *b->second->seconds;
    if (from < 0 || to < 0) return kCudaNotReady;
    *milliseconds = static_cast<float>(1e3 * (to - from));
    return 0;
}

STANDIN_EXPORT CUresult cuEventDestroy(CUevent event) {
    STANDIN_ENTER(cuEventDestroy);
    return m.events.erase(event) == 1 ? 0 : kCudaInvalidHandle;
}

/// "standin <arch>" of the stand-in compiler, or the ELF file of the real one.
STANDIN_EXPORT CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    STANDIN_ENTER(cuModuleLoadData);
    STANDIN_NEEDS_CONTEXT();
    const char* text = static_cast<const char*>(image);
    const std::string wanted = "standin " + architecture();
    if (std::memcmp(text,
                    "\x7f"
                    "ELF",
                    4) != 0 &&
        std::strncmp(text, wanted.c_str(), wanted.size()) != 0) {
        return kCudaNoBinaryForDevice;
    }
    auto* made = new char;
    m.modules[made] = device;
    *module = handle_of<CUmodule>(made);
    return 0;
}

STANDIN_EXPORT CUresult cuModuleUnload(CUmodule module) {
    STANDIN_ENTER(cuModuleUnload);
    return m.modules.erase(module) == 1 ? 0 : kCudaInvalidHandle;
}

STANDIN_EXPORT CUresult cuModuleGetFunction(CUfunction* function, CUmodule module,
                                            const char* name) {
    STANDIN_ENTER(cuModuleGetFunction);
    STANDIN_NEEDS_CONTEXT();
    if (m.modules.count(module) == 0) return kCudaInvalidHandle;
    if (nearfield::shim::kernels().count(name) == 0) return 500;
    auto* made = new char;
    m.functions[made] = {device, name};
    *function = handle_of<CUfunction>(made);
    return 0;
}

STANDIN_EXPORT CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
    STANDIN_ENTER(cuFuncSetAttribute);
    if (m.functions.count(function) == 0) return kCudaInvalidHandle;
    const auto bytes = static_cast<std::size_t>(value);
    if (attribute != kFunctionSharedBytes || value < 0 || bytes > standin::most_shared()) return 1;
    m.allowed[function] = bytes;
    return 0;
}

STANDIN_EXPORT CUresult cuTensorMapEncodeTiled(CUtensorMap* map, int type, unsigned rank,
                                               void* address, const unsigned long long* dims,
                                               const unsigned long long* strides,
                                               const unsigned* box, const unsigned* steps,
                                               int interleave, int swizzle, int, int fill) {
    STANDIN_ENTER(cuTensorMapEncodeTiled);
    (void)m;
    const unsigned long long size = type == kTensorUint8 ? 1 : 2;
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    const bool known = type == kTensorUint8 || type == kTensorFloat16 || type == kTensorBfloat16;
    const bool plain = rank == 2 && steps[0] == 1 && steps[1] == 1 && interleave == 0 && fill == 0;
    const bool aligned = at % 16 == 0 && strides[0] % 16 == 0 && strides[0] >= dims[0] * size;
    const bool fits = box[0] * size == 128 && box[1] >= 1 && box[1] <= 256;
    const bool near = strides[0] >> 40 == 0;
    const bool sized =
        near && dims[0] >= 1 && dims[1] >= 1 && dims[0] >> 32 == 0 && dims[1] >> 32 == 0;
    if (!known || !plain || !aligned || !fits || !sized || swizzle != kTensorSwizzle128) return 1;
    const nearfield::shim::BoxMap described = {
        nearfield::shim::kBoxMapMark, at, dims[0], dims[1], strides[0], box[0], box[1], size};
    std::memset(map, 0, sizeof *map);
    std::memcpy(map, &described, sizeof described);
    return 0;
}

STANDIN_EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y,
                                       unsigned grid_z, unsigned block_x, unsigned block_y,
                                       unsigned block_z, unsigned shared_bytes, CUstream stream,
                                       void** arguments, void**) {
    STANDIN_ENTER(cuLaunchKernel);
    STANDIN_NEEDS_CONTEXT();
    STANDIN_NEEDS_STREAM(stream);
    const auto found = m.functions.find(function);
    if (found == m.functions.end() || found->second.first != device) return kCudaInvalidHandle;
    const bool empty = grid_x == 0 || grid_y == 0 || grid_z == 0;
    if (empty || grid_x >> 31 != 0 || grid_y > 65535 || grid_z > 65535) return 1;
    if (block_x * block_y * block_z > 1024 || block_z > 64) return 1;
    if (shared_bytes > shared_allowed(m, function)) return 1;
    const std::string name = found->second.second;
    const auto& sizes = nearfield::shim::kernels().at(name).sizes;
    std::vector<Argument> kept(sizes.size());
    for (std::size_t i = 0; i < kept.size(); ++i) {
        if (sizes[i] > sizeof(Argument)) return 1;
        std::memcpy(kept[i].bytes, arguments[i], sizes[i]);
        CUdeviceptr address = 0;
        std::memcpy(&address, arguments[i], std::min(sizes[i], sizeof(address)));
        const int owner = m.memory.device_of(address);
        if (owner >= 0 && owner != device) return refuse_foreign(m, name, owner);
    }
    m.streams.enqueue(
        on, [&m, name, kept, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes] {
            run_kernel(m, name, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes,
                       kept);
        });
    return 0;
}
