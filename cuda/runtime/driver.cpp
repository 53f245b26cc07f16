#include "cuda/runtime/driver.h"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>

namespace nearfield::cuda {
namespace {

constexpr const char* kNames[] = {"libcuda.so.1", "libcuda.so", "/usr/lib/wsl/lib/libcuda.so.1"};

// cuGetProcAddress as it is since 12.0.
using GetAddress = CUresult (*)(const char* symbol, void** address, int version,
                                unsigned long long flags, int* status);

std::atomic<const Driver*> g_driver{nullptr};  // never freed: buffers may outlive static objects
std::mutex g_opening;

void* open_library(std::string& path) {
    const char* chosen = std::getenv("NEARFIELD_LIBCUDA");
    if (chosen != nullptr && *chosen != '\0') {
        path = chosen;
        void* library = dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
        if (library != nullptr) return library;
        const char* reason = dlerror();
        throw DeviceError("no CUDA driver: NEARFIELD_LIBCUDA names " + path +
                          ", which does not open (" + (reason != nullptr ? reason : "?") +
                          "); unset it or name a driver library");
    }
    for (const char* name : kNames) {
        path = name;
        if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    }
    throw DeviceError(
        "no CUDA driver: libcuda.so.1 was not found; install NVIDIA's driver, or give the "
        "container "
        "its GPU (docker run --gpus all), or set NEARFIELD_LIBCUDA to the library's path");
}

[[noreturn]] void refuse_old(const std::string& path, const std::string& got) {
    throw DeviceError("old CUDA driver: " + path + " speaks CUDA " + got + ", expected " +
                      version_text(kOldestDriver) +
                      " or newer; update NVIDIA's driver to release 525 or newer");
}

void fill(Driver& d, GetAddress address_of) {
    const auto find = [&](const char* name, auto& function) {
        void* found = nullptr;
        int status = 0;
        if (address_of(name, &found, kOldestDriver, 0, &status) != kCudaSuccess || !found) {
            throw DeviceError("old CUDA driver: " + d.path + " has no " + name +
                              "; update NVIDIA's driver to release 525 or newer");
        }
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(found);
    };
#define NEARFIELD_FIND(name, parameters) find(#name, d.name);
    NEARFIELD_DRIVER_FUNCTIONS(NEARFIELD_FIND)
#undef NEARFIELD_FIND
}

std::string text_of(const Driver& d, CUresult result) {
    const char* name = nullptr;
    const char* text = nullptr;
    d.cuGetErrorName(result, &name);
    d.cuGetErrorString(result, &text);
    std::string out = name != nullptr ? name : "error " + std::to_string(result);
    if (text != nullptr) out += std::string(", ") + text;
    return out;
}

std::unique_ptr<Driver> open() {
    auto d = std::make_unique<Driver>();
    void* library = open_library(d->path);
    using Version = CUresult (*)(int*);
    const auto version = reinterpret_cast<Version>(dlsym(library, "cuDriverGetVersion"));
    if (version == nullptr || version(&d->version) != kCudaSuccess) {
        throw DeviceError("no CUDA driver: " + d->path +
                          " does not tell its version; set NEARFIELD_LIBCUDA to NVIDIA's library");
    }
    if (d->version < kOldestDriver) refuse_old(d->path, version_text(d->version));
    const auto find = reinterpret_cast<GetAddress>(dlsym(library, "cuGetProcAddress_v2"));
    if (find == nullptr) refuse_old(d->path, version_text(d->version) + " without its functions");
    fill(*d, find);
    const CUresult started = d->cuInit(0);
    if (started == kCudaNoDevice) {
        throw DeviceError("no CUDA device: the driver " + d->path +
                          " finds none; check nvidia-smi and CUDA_VISIBLE_DEVICES");
    }
    if (started != kCudaSuccess) {
        throw DeviceError("the CUDA driver " + d->path + " does not start (" +
                          text_of(*d, started) + "); check nvidia-smi");
    }
    d->process = getpid();
    return d;
}

std::string advice(CUresult result) {
    switch (result) {
        case kCudaOutOfMemory:
            return "; free arrays on the device, send fewer queries at once or use a smaller type";
        case kCudaInvalidHandle:
        case kCudaContextIsDestroyed:
            return "; the stream or its context no longer exists: pass a live stream of this "
                   "device";
        case kCudaNoBinaryForDevice:
        case kCudaInvalidPtx:
        case kCudaUnsupportedPtx:
            return "; NVRTC is newer than the driver: update the driver, or set NEARFIELD_NVRTC to "
                   "an "
                   "older NVRTC";
        case kCudaIllegalAddress:
        case kCudaMisalignedAddress:
        case kCudaLaunchFailed:
            return "; every later use of CUDA in this process fails: restart it";
        default: return "";
    }
}

}  // namespace

const Driver& driver() {
    const Driver* d = g_driver.load(std::memory_order_acquire);
    if (d == nullptr) {
        const std::lock_guard lock(g_opening);
        d = g_driver.load(std::memory_order_acquire);
        if (d == nullptr) {
            d = open().release();
            g_driver.store(d, std::memory_order_release);
        }
    }
    if (d->process != getpid()) {
        throw DeviceError(
            "this process was forked after CUDA had started, and CUDA does not survive a fork; "
            "start "
            "workers by multiprocessing.get_context('spawn') or 'forkserver', or use CUDA only in "
            "them");
    }
    return *d;
}

const Driver* open_driver() noexcept {
    const Driver* d = g_driver.load(std::memory_order_acquire);
    return d != nullptr && d->process == getpid() ? d : nullptr;
}

void check(CUresult result, const std::string& doing) {
    if (result == kCudaSuccess) return;
    const Driver* d = open_driver();
    const std::string text = d != nullptr ? text_of(*d, result) : std::to_string(result);
    throw DeviceError("cannot " + doing + ": " + text + advice(result));
}

std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace nearfield::cuda
