// Nvrtc: NVIDIA's run-time compiler, opened when it is first needed and never closed.
//
// Where it is looked for: the file NEARFIELD_NVRTC names; a copy this process has already loaded;
// folders that were named to search_in() (the nvidia-* and torch packages of a Python); the toolkit
// in CUDA_HOME, CUDA_PATH and /usr/local/cuda; the system's loader. The first whose major version the
// driver takes is used. A library opened by its path does not find libnvrtc-builtins beside it, so
// that one is opened first.
// Source: own; the interface is that of the NVRTC documentation, 12.0 and later.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace nearfield::cuda {

using nvrtcProgram = struct _nvrtcProgram*;

#define NEARFIELD_NVRTC_FUNCTIONS(X)                                                             \
    X(nvrtcVersion, (int* major, int* minor))                                                    \
    X(nvrtcGetNumSupportedArchs, (int* count))                                                   \
    X(nvrtcGetSupportedArchs, (int* archs))                                                      \
    X(nvrtcCreateProgram,                                                                        \
      (nvrtcProgram * program, const char* source, const char* name, int headers,                \
       const char* const* header_sources, const char* const* header_names))                      \
    X(nvrtcCompileProgram, (nvrtcProgram program, int options, const char* const* option_texts)) \
    X(nvrtcGetProgramLogSize, (nvrtcProgram program, std::size_t* bytes))                        \
    X(nvrtcGetProgramLog, (nvrtcProgram program, char* log))                                     \
    X(nvrtcGetCUBINSize, (nvrtcProgram program, std::size_t* bytes))                             \
    X(nvrtcGetCUBIN, (nvrtcProgram program, char* cubin))                                        \
    X(nvrtcDestroyProgram, (nvrtcProgram * program))

struct Nvrtc {
#define NEARFIELD_DECLARE(name, parameters) int(*name) parameters = nullptr;
    NEARFIELD_NVRTC_FUNCTIONS(NEARFIELD_DECLARE)
#undef NEARFIELD_DECLARE
    int version = 0;  // 1000 * major + 10 * minor
    std::string path;
    std::vector<int> architectures;  // 90 for sm_90
};

/// Folders to look into, before the first use. Later calls replace the list.
void search_in(std::vector<std::string> folders);

/// DeviceError where none is found that a driver of `driver_version` takes; a later call looks again.
const Nvrtc& nvrtc(int driver_version);

}  // namespace nearfield::cuda
