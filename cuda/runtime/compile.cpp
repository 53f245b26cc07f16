#include "cuda/runtime/compile.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "cuda/runtime/driver.h"

namespace nearfield::cuda {
namespace {

bool is_header(const Source& source) { return std::string_view(source.name).ends_with(".cuh"); }

/// Unambiguous: every part stands behind its length.
Digest key_of(const std::string& name, std::span<const Source> sources,
              const std::vector<std::string>& options, int version) {
    std::string all;
    const auto add = [&all](std::string_view part) {
        all += std::to_string(part.size());
        all += ':';
        all += part;
    };
    add(name);
    for (const Source& source : sources) {
        add(source.name);
        add(source.text);
    }
    for (const std::string& option : options) add(option);
    add(std::to_string(version));
    return sha256(all);
}

struct Program {
    const Nvrtc& compiler;
    nvrtcProgram handle = nullptr;
    explicit Program(const Nvrtc& c) : compiler(c) {}
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() {
        if (handle != nullptr) compiler.nvrtcDestroyProgram(&handle);
    }
};

std::string log_of(const Program& program) {
    std::size_t size = 0;
    if (program.compiler.nvrtcGetProgramLogSize(program.handle, &size) != 0 || size == 0) return "";
    std::string log(size, '\0');
    if (program.compiler.nvrtcGetProgramLog(program.handle, log.data()) != 0) return "";
    log.resize(std::min(log.find('\0'), log.size()));
    return log;
}

[[noreturn]] void refuse(const std::string& name, const std::string& architecture,
                         const Nvrtc& compiler, const std::string& log) {
    throw DeviceError("the kernels of " + name + " do not compile for " + architecture + " with " +
                      compiler.path + " (CUDA " + version_text(compiler.version) +
                      "); set NEARFIELD_NVRTC to another NVRTC, and please report this:\n" + log);
}

std::string compiled(const Source& source, std::span<const Source> sources,
                     const std::vector<std::string>& options, const std::string& architecture,
                     const Nvrtc& compiler) {
    std::vector<const char*> names;
    std::vector<const char*> texts;
    for (const Source& other : sources) {
        if (!is_header(other)) continue;
        names.push_back(other.name);
        texts.push_back(other.text);
    }
    Program program(compiler);
    if (compiler.nvrtcCreateProgram(&program.handle, source.text, source.name,
                                    static_cast<int>(names.size()), texts.data(),
                                    names.data()) != 0) {
        refuse(source.name, architecture, compiler, "no program could be made");
    }
    std::vector<const char*> given;
    for (const std::string& option : options) given.push_back(option.c_str());
    if (compiler.nvrtcCompileProgram(program.handle, static_cast<int>(given.size()),
                                     given.data()) != 0) {
        refuse(source.name, architecture, compiler, log_of(program));
    }
    std::size_t size = 0;
    if (compiler.nvrtcGetCUBINSize(program.handle, &size) != 0 || size == 0) {
        refuse(source.name, architecture, compiler, "no cubin came out: " + log_of(program));
    }
    std::string cubin(size, '\0');
    if (compiler.nvrtcGetCUBIN(program.handle, cubin.data()) != 0) {
        refuse(source.name, architecture, compiler, "the cubin cannot be read");
    }
    return cubin;
}

}  // namespace

std::string architecture_of(Capability capability, const Nvrtc& compiler) {
    const int number = 10 * capability.major + capability.minor;
    const std::string got = "a device of compute capability " + std::to_string(capability.major) +
                            "." + std::to_string(capability.minor);
    if (number < kOldestCapability) {
        throw DeviceError("unknown architecture: got " + got +
                          ", expected 8.0 or newer; search on the CPU instead");
    }
    const auto& known = compiler.architectures;
    if (std::find(known.begin(), known.end(), number) == known.end()) {
        const int newest = known.empty() ? 0 : *std::max_element(known.begin(), known.end());
        throw DeviceError("unknown architecture: got " + got + ", but " + compiler.path +
                          " (CUDA " + version_text(compiler.version) + ") compiles for up to " +
                          std::to_string(newest / 10) + "." + std::to_string(newest % 10) +
                          "; install a newer NVRTC, e.g. pip install -U nvidia-cuda-nvrtc");
    }
    const bool has_own_features = number == 90 || number == 100;
    return "sm_" + std::to_string(number) + (has_own_features ? "a" : "");
}

std::string compile(const std::string& name, std::span<const Source> sources,
                    const std::string& architecture, const Nvrtc& compiler, const CubinCache& cache,
                    bool* compiled_now) {
    const auto source = std::find_if(sources.begin(), sources.end(),
                                     [&](const Source& s) { return name == s.name; });
    if (source == sources.end()) throw DeviceError("no kernel source is called " + name);
    const std::vector<std::string> options = {"--gpu-architecture=" + architecture, "--std=c++17",
                                              "--fmad=false"};
    const Digest key = key_of(name, sources, options, compiler.version);
    if (auto found = cache.find(key)) return *std::move(found);
    std::string cubin = compiled(*source, sources, options, architecture, compiler);
    cache.keep(key, cubin);
    if (compiled_now != nullptr) *compiled_now = true;
    return cubin;
}

}  // namespace nearfield::cuda
