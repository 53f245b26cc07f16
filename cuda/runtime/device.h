// Device: one GPU, its primary context and the kernels compiled for it.
//
// The primary context is the one torch, CuPy and JAX use, so pointers and streams are shared with them.
// It is retained at the first use (not when a device is only described: a context takes time and some
// hundred MB) and kept for the life of the process. Every call into the driver
// stands within an OnDevice, which makes that context current on its thread and afterwards restores
// what was: threads need not know of each other.
// Source: own.
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/runtime/compile.h"
#include "cuda/runtime/driver.h"

namespace nearfield::cuda {

/// What building a source took.
struct Built {
    double seconds = 0.0;
    bool from_cache = false;
};

class Device {
public:
    /// DeviceError where there is no such device; the same object at every call.
    static Device& at(int ordinal);
    static int count();

    int ordinal() const noexcept { return ordinal_; }
    std::string label() const { return "cuda:" + std::to_string(ordinal_); }
    const std::string& name() const noexcept { return name_; }
    Capability capability() const noexcept { return capability_; }
    std::size_t memory_bytes() const noexcept { return memory_bytes_; }
    int multiprocessors() const noexcept { return multiprocessors_; }
    std::size_t shared_bytes() const noexcept { return shared_bytes_; }
    bool has_memory_pools() const noexcept { return has_memory_pools_; }
    CUcontext context() const;
    bool is_started() const noexcept { return context_.load() != nullptr; }

    /// Where searches count the queries that their scans left open (search/fallbacks.h); 0: nowhere.
    CUdeviceptr fallback_counter() const noexcept { return fallback_counter_.load(); }
    void count_fallbacks_at(CUdeviceptr counter) noexcept { fallback_counter_.store(counter); }

    /// Free bytes now; starts the device.
    std::size_t free_bytes() const;

    /// A kernel of cuda/kernels/<source>, compiled and loaded at its first use.
    CUfunction kernel(const std::string& source, const std::string& name);

    /// Compiles and loads a source before a search needs it.
    Built build(const std::string& source);

    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

private:
    Device(int ordinal, CUdevice handle);
    CUmodule module_of(const std::string& source, bool* compiled = nullptr);

    int ordinal_;
    CUdevice handle_;
    mutable std::atomic<CUcontext> context_{nullptr};
    std::atomic<CUdeviceptr> fallback_counter_{0};
    mutable std::mutex starting_;
    std::string name_;
    Capability capability_;
    std::size_t memory_bytes_ = 0;
    std::size_t shared_bytes_ = 0;
    int multiprocessors_ = 0;
    bool has_memory_pools_ = false;

    std::mutex loading_;
    std::map<std::string, CUmodule> modules_;
    std::map<std::string, CUfunction> functions_;  // "source:name"
};

/// Makes the device's context current on this thread while it lives.
class OnDevice {
public:
    explicit OnDevice(const Device& device);
    ~OnDevice();
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;

private:
    const Driver& driver_;
};

}  // namespace nearfield::cuda
