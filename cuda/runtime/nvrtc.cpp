#include "cuda/runtime/nvrtc.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>

#include "cuda/runtime/driver.h"

namespace nearfield::cuda {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSonames[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};

std::atomic<const Nvrtc*> g_nvrtc{nullptr};  // never freed
std::mutex g_opening;
std::vector<std::string> g_folders;

bool starts_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

/// Files of a folder whose names start so; the newest version first.
std::vector<std::string> files_named(const std::string& folder, const char* start) {
    std::vector<std::string> found;
    std::error_code ignored;
    for (fs::directory_iterator at(folder, ignored), end; !ignored && at != end;
         at.increment(ignored)) {
        const std::string name = at->path().filename().string();
        const bool other = name.find(".alt.") != std::string::npos;
        if (starts_with(name, start) && !other) found.push_back(at->path().string());
    }
    std::sort(found.rbegin(), found.rend());
    return found;
}

void* open_beside_builtins(const std::string& path) {
    const std::string folder = fs::path(path).parent_path().string();
    for (const std::string& builtins : files_named(folder, "libnvrtc-builtins.so")) {
        if (dlopen(builtins.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) break;
    }
    return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
}

std::optional<Nvrtc> functions_of(void* library, const std::string& path) {
    Nvrtc n;
    n.path = path;
    bool complete = true;
#define NEARFIELD_FIND(name, parameters)                                \
    n.name = reinterpret_cast<decltype(n.name)>(dlsym(library, #name)); \
    complete = complete && n.name != nullptr;
    NEARFIELD_NVRTC_FUNCTIONS(NEARFIELD_FIND)
#undef NEARFIELD_FIND
    int major = 0;
    int minor = 0;
    int count = 0;
    if (!complete || n.nvrtcVersion(&major, &minor) != 0) return std::nullopt;
    n.version = 1000 * major + 10 * minor;
    if (n.nvrtcGetNumSupportedArchs(&count) != 0 || count <= 0) return std::nullopt;
    n.architectures.resize(static_cast<std::size_t>(count));
    if (n.nvrtcGetSupportedArchs(n.architectures.data()) != 0) return std::nullopt;
    return n;
}

std::vector<std::string> folders() {
    std::vector<std::string> all = g_folders;
    for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
        const char* home = std::getenv(variable);
        if (home != nullptr && *home != '\0') all.push_back(std::string(home) + "/lib64");
    }
    all.emplace_back("/usr/local/cuda/lib64");
    return all;
}

/// Calls take(library, path) for one library after the other until it returns true.
template <class Take>
bool any_library(Take&& take) {
    for (const char* name : kSonames) {
        void* loaded = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
        if (loaded != nullptr && take(loaded, name)) return true;
    }
    for (const std::string& folder : folders()) {
        for (const std::string& path : files_named(folder, "libnvrtc.so")) {
            void* library = open_beside_builtins(path);
            if (library != nullptr && take(library, path)) return true;
        }
    }
    for (const char* name : kSonames) {
        void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (library != nullptr && take(library, name)) return true;
    }
    return false;
}

Nvrtc open_chosen(const char* path) {
    void* library = open_beside_builtins(path);
    const char* reason = library == nullptr ? dlerror() : nullptr;
    auto found = library != nullptr ? functions_of(library, path) : std::nullopt;
    if (found) return *std::move(found);
    throw DeviceError(std::string("no NVRTC: NEARFIELD_NVRTC names ") + path +
                      ", which is no NVRTC of CUDA 12 or newer (" +
                      (reason != nullptr ? reason : "functions are missing") +
                      "); unset it or name libnvrtc.so.12 or .13");
}

Nvrtc open(int driver_version) {
    const char* chosen = std::getenv("NEARFIELD_NVRTC");
    if (chosen != nullptr && *chosen != '\0') return open_chosen(chosen);
    std::optional<Nvrtc> newer;
    Nvrtc usable;
    const bool found = any_library([&](void* library, const std::string& path) {
        auto n = functions_of(library, path);
        if (!n || n->version < kOldestDriver) return false;
        if (n->version / 1000 > driver_version / 1000) {
            newer = std::move(n);
            return false;
        }
        usable = *std::move(n);
        return true;
    });
    if (found) return usable;
    const std::string major = std::to_string(driver_version / 1000);
    const std::string package = major == "12" ? "nvidia-cuda-nvrtc-cu12" : "nvidia-cuda-nvrtc";
    if (newer) {
        throw DeviceError("no NVRTC for this driver: " + newer->path + " is of CUDA " +
                          version_text(newer->version) + " and the driver of CUDA " +
                          version_text(driver_version) + "; update the driver, or pip install " +
                          package);
    }
    throw DeviceError(
        "no NVRTC: the compiler for kernels, libnvrtc.so.12 or .13, was found neither beside torch "
        "or "
        "CuPy nor in a CUDA toolkit; pip install " +
        package + ", or set NEARFIELD_NVRTC to the library's path");
}

}  // namespace

void search_in(std::vector<std::string> folders) {
    const std::lock_guard lock(g_opening);
    g_folders = std::move(folders);
}

const Nvrtc& nvrtc(int driver_version) {
    if (const Nvrtc* n = g_nvrtc.load(std::memory_order_acquire)) return *n;
    const std::lock_guard lock(g_opening);
    const Nvrtc* n = g_nvrtc.load(std::memory_order_acquire);
    if (n == nullptr) {
        n = std::make_unique<Nvrtc>(open(driver_version)).release();
        g_nvrtc.store(n, std::memory_order_release);
    }
    return *n;
}

}  // namespace nearfield::cuda
