// Starting the driver, devices, contexts, and where its functions are.
#include "machine.h"

#include <cstdio>
#include <cstring>

#include "exports.h"

namespace standin {
namespace {

int g_contexts[kMostDevices];  // a context's handle is the address of its device's element
thread_local std::vector<int> t_current;

}  // namespace

Machine& machine() {
    static auto* all = new Machine;  // never freed: callers may outlive static objects
    return *all;
}

int current_device() { return t_current.empty() ? -1 : t_current.back(); }

api::CUcontext context_of(int device) {
    return reinterpret_cast<api::CUcontext>(&g_contexts[device]);
}

StreamPtr stream_of(api::CUstream handle) {
    Machine& m = machine();
    if (handle == nullptr || handle == api::legacy_stream()) {
        return m.streams.legacy(current_device());
    }
    if (handle == api::per_thread_stream()) return m.streams.per_thread(current_device());
    const auto found = m.made_streams.find(handle);
    return found != m.made_streams.end() ? found->second : nullptr;
}

// CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
std::size_t most_shared() {
    const std::string capability = setting("STANDIN_CAPABILITY", "9.0");
    if (capability == "8.0" || capability == "8.7") return 163 * 1024;
    const bool is_large = capability[0] == '9' || capability.substr(0, 3) == "10.";
    return is_large ? 227 * 1024 : 99 * 1024;
}

namespace {

int devices() { return static_cast<int>(number("STANDIN_DEVICES", 2)); }

bool is_device(int device) { return device >= 0 && device < devices(); }

int attribute(int which) {
    const std::string capability = setting("STANDIN_CAPABILITY", "9.0");
    switch (which) {
        case api::kAttributeMajor: return std::stoi(capability);
        case api::kAttributeMinor: return std::stoi(capability.substr(capability.find('.') + 1));
        case api::kAttributeMultiprocessors: return 4;
        case api::kAttributeSharedPerBlock: return static_cast<int>(most_shared());
        case api::kAttributeMemoryPools: return static_cast<int>(number("STANDIN_POOLS", 1));
        default: return 0;
    }
}

}  // namespace
}  // namespace standin

using namespace nearfield::cuda;  // names of the interface

STANDIN_EXPORT CUresult cuInit(unsigned) {
    STANDIN_ENTER(cuInit);
    if (standin::devices() == 0) return kCudaNoDevice;
    m.started = true;
    return 0;
}

STANDIN_EXPORT CUresult cuDriverGetVersion(int* version) {
    STANDIN_ENTER(cuDriverGetVersion);
    (void)m;
    *version = static_cast<int>(standin::number("STANDIN_VERSION", 12080));
    return 0;
}

STANDIN_EXPORT CUresult cuGetErrorName(CUresult error, const char** name) {
    switch (error) {
        case 1: *name = "CUDA_ERROR_INVALID_VALUE"; return 0;
        case kCudaOutOfMemory: *name = "CUDA_ERROR_OUT_OF_MEMORY"; return 0;
        case kCudaNoDevice: *name = "CUDA_ERROR_NO_DEVICE"; return 0;
        case kCudaInvalidHandle: *name = "CUDA_ERROR_INVALID_HANDLE"; return 0;
        case kCudaLaunchFailed: *name = "CUDA_ERROR_LAUNCH_FAILED"; return 0;
        default: *name = nullptr; return 1;
    }
}

STANDIN_EXPORT CUresult cuGetErrorString(CUresult error, const char** text) {
    const bool has = error == kCudaLaunchFailed && !standin::machine().failure.empty();
    *text = has ? standin::machine().failure.c_str() : nullptr;
    return has ? 0 : 1;
}

STANDIN_EXPORT CUresult cuDeviceGetCount(int* count) {
    STANDIN_ENTER(cuDeviceGetCount);
    if (!m.started) return 3;
    *count = standin::devices();
    return 0;
}

STANDIN_EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    STANDIN_ENTER(cuDeviceGet);
    (void)m;
    *device = ordinal;
    return standin::is_device(ordinal) ? 0 : 101;
}

STANDIN_EXPORT CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
    STANDIN_ENTER(cuDeviceGetName);
    (void)m;
    std::snprintf(name, static_cast<std::size_t>(length), "stand-in %d", device);
    return 0;
}

STANDIN_EXPORT CUresult cuDeviceGetAttribute(int* value, int which, CUdevice) {
    STANDIN_ENTER(cuDeviceGetAttribute);
    (void)m;
    *value = standin::attribute(which);
    return 0;
}

STANDIN_EXPORT CUresult cuDeviceTotalMem(std::size_t* bytes, CUdevice) {
    STANDIN_ENTER(cuDeviceTotalMem);
    (void)m;
    *bytes = static_cast<std::size_t>(standin::number("STANDIN_MEMORY", 1L << 30));
    return 0;
}

STANDIN_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    STANDIN_ENTER(cuDevicePrimaryCtxRetain);
    (void)m;
    *context = standin::context_of(device);
    return 0;
}

STANDIN_EXPORT CUresult cuCtxPushCurrent(CUcontext context) {
    STANDIN_ENTER(cuCtxPushCurrent);
    (void)m;
    for (int device = 0; device < standin::kMostDevices; ++device) {
        if (standin::context_of(device) != context) continue;
        standin::t_current.push_back(device);
        return 0;
    }
    return 201;
}

STANDIN_EXPORT CUresult cuCtxPopCurrent(CUcontext* context) {
    STANDIN_ENTER(cuCtxPopCurrent);
    (void)m;
    if (standin::t_current.empty()) return 201;
    *context = standin::context_of(standin::t_current.back());
    standin::t_current.pop_back();
    return 0;
}

// Without these declarations the table below could not name functions of the other files.
#define STANDIN_DECLARE(name, parameters) STANDIN_EXPORT CUresult name parameters;
NEARFIELD_DRIVER_FUNCTIONS(STANDIN_DECLARE)

STANDIN_EXPORT CUresult cuGetProcAddress_v2(const char* symbol, void** function, int version,
                                            unsigned long long, int* status) {
    STANDIN_ENTER(cuGetProcAddress_v2);
    (void)m;
    *function = nullptr;
#define STANDIN_FIND(name, parameters) \
    if (std::strcmp(symbol, #name) == 0) *function = reinterpret_cast<void*>(&name);
    NEARFIELD_DRIVER_FUNCTIONS(STANDIN_FIND)
    if (standin::setting("STANDIN_LACKS", "") == symbol) *function = nullptr;
    if (version > standin::number("STANDIN_VERSION", 12080)) *function = nullptr;
    *status = *function == nullptr ? 1 : 0;
    return *function == nullptr ? 500 : 0;
}
