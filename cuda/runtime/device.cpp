#include "cuda/runtime/device.h"

#include <array>
#include <chrono>

namespace nearfield::cuda {
namespace {

std::mutex g_opening;
std::map<int, Device*>& devices() {
    static auto* all = new std::map<int, Device*>;  // never freed, as the driver
    return *all;
}

int attribute(const Driver& d, int which, CUdevice handle) {
    int value = 0;
    check(d.cuDeviceGetAttribute(&value, which, handle), "read the properties of a device");
    return value;
}

}  // namespace

int Device::count() {
    int count = 0;
    check(driver().cuDeviceGetCount(&count), "count devices");
    return count;
}

Device& Device::at(int ordinal) {
    const Driver& d = driver();
    const std::lock_guard lock(g_opening);
    const auto known = devices().find(ordinal);
    if (known != devices().end()) return *known->second;
    const int present = count();
    if (ordinal < 0 || ordinal >= present) {
        throw DeviceError("no device cuda:" + std::to_string(ordinal) + ": this process sees " +
                          std::to_string(present) + (present == 1 ? " device" : " devices") +
                          ", numbered from 0; see nearfield.devices()");
    }
    CUdevice handle = 0;
    check(d.cuDeviceGet(&handle, ordinal), "open cuda:" + std::to_string(ordinal));
    return *devices().emplace(ordinal, new Device(ordinal, handle)).first->second;
}

Device::Device(int ordinal, CUdevice handle) : ordinal_(ordinal), handle_(handle) {
    const Driver& d = driver();
    std::array<char, 256> name{};
    check(d.cuDeviceGetName(name.data(), static_cast<int>(name.size()) - 1, handle),
          "read the name of " + label());
    name_ = name.data();
    check(d.cuDeviceTotalMem(&memory_bytes_, handle), "read the size of " + label());
    capability_ = {attribute(d, kAttributeMajor, handle), attribute(d, kAttributeMinor, handle)};
    multiprocessors_ = attribute(d, kAttributeMultiprocessors, handle);
    shared_bytes_ = static_cast<std::size_t>(attribute(d, kAttributeSharedPerBlock, handle));
    has_memory_pools_ = attribute(d, kAttributeMemoryPools, handle) != 0;
}

CUcontext Device::context() const {
    if (CUcontext started = context_.load()) return started;
    const std::lock_guard lock(starting_);
    CUcontext context = context_.load();
    if (context == nullptr) {
        check(driver().cuDevicePrimaryCtxRetain(&context, handle_), "start " + label());
        context_.store(context);
    }
    return context;
}

std::size_t Device::free_bytes() const {
    const OnDevice here(*this);
    std::size_t free = 0;
    std::size_t total = 0;
    check(driver().cuMemGetInfo(&free, &total), "ask how much memory of " + label() + " is free");
    return free;
}

CUmodule Device::module_of(const std::string& source, bool* compiled) {
    const auto known = modules_.find(source);
    if (known != modules_.end()) return known->second;
    const Nvrtc& compiler = nvrtc(driver().version);
    const std::string cubin =
        compile(source, kernel_sources(), architecture_of(capability_, compiler), compiler,
                CubinCache::usual(), compiled);
    CUmodule module = nullptr;
    check(driver().cuModuleLoadData(&module, cubin.data()),
          "load the kernels of " + source + " on " + label());
    modules_.emplace(source, module);
    return module;
}

Built Device::build(const std::string& source) {
    const OnDevice here(*this);
    const std::lock_guard lock(loading_);
    bool compiled = false;
    const auto start = std::chrono::steady_clock::now();
    module_of(source, &compiled);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    return {took.count(), !compiled};
}

CUfunction Device::kernel(const std::string& source, const std::string& name) {
    const OnDevice here(*this);
    const std::lock_guard lock(loading_);
    const std::string key = source + ":" + name;
    const auto known = functions_.find(key);
    if (known != functions_.end()) return known->second;
    CUfunction function = nullptr;
    check(driver().cuModuleGetFunction(&function, module_of(source), name.c_str()),
          "find the kernel " + name + " of " + source);
    functions_.emplace(key, function);
    return function;
}

OnDevice::OnDevice(const Device& device) : driver_(driver()) {
    check(driver_.cuCtxPushCurrent(device.context()), "use " + device.label());
}

OnDevice::~OnDevice() {
    CUcontext popped = nullptr;
    driver_.cuCtxPopCurrent(&popped);
}

}  // namespace nearfield::cuda
