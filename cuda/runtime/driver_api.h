// The part of the CUDA driver interface that is used, declared here: no CUDA header is needed to
// build, and no CUDA library to link. Names and values are the interface's own.
// Source: CUDA Driver API reference, 12.0 and later.
#pragma once

#include <cstddef>

namespace nearfield::cuda {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUstream = struct CUstream_st*;
using CUevent = struct CUevent_st*;

inline constexpr CUresult kCudaSuccess = 0;
inline constexpr CUresult kCudaOutOfMemory = 2;
inline constexpr CUresult kCudaDeinitialized = 4;
inline constexpr CUresult kCudaNoDevice = 100;
inline constexpr CUresult kCudaNoBinaryForDevice = 209;
inline constexpr CUresult kCudaInvalidPtx = 218;
inline constexpr CUresult kCudaUnsupportedPtx = 222;
inline constexpr CUresult kCudaInvalidHandle = 400;
inline constexpr CUresult kCudaNotReady = 600;
inline constexpr CUresult kCudaIllegalAddress = 700;
inline constexpr CUresult kCudaContextIsDestroyed = 709;
inline constexpr CUresult kCudaMisalignedAddress = 716;
inline constexpr CUresult kCudaLaunchFailed = 719;

inline constexpr int kAttributeMultiprocessors = 16;
inline constexpr int kAttributeMajor = 75;
inline constexpr int kAttributeMinor = 76;
inline constexpr int kAttributeSharedPerBlock = 97;  // with opt-in
inline constexpr int kAttributeMemoryPools = 115;
inline constexpr int kFunctionSharedBytes = 8;
inline constexpr int kPointerContext = 1;
inline constexpr int kPointerOrdinal = 9;
inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr unsigned kEventDisableTiming = 2;

/// What a kernel needs to copy boxes of a matrix (cuTensorMapEncodeTiled); opaque.
struct alignas(128) CUtensorMap {
    unsigned long long opaque[16];
};
inline constexpr int kTensorUint8 = 0;
inline constexpr int kTensorFloat16 = 6;
inline constexpr int kTensorBfloat16 = 9;
inline constexpr int kTensorSwizzle128 = 3;
inline constexpr int kTensorPromotion256 = 3;

/// CUstream values that name a stream no one created.
inline CUstream legacy_stream() noexcept { return reinterpret_cast<CUstream>(0x1); }
inline CUstream per_thread_stream() noexcept { return reinterpret_cast<CUstream>(0x2); }

/// X(name, parameters): each becomes a member of Driver that points to the function.
#define NEARFIELD_DRIVER_FUNCTIONS(X)                                                             \
    X(cuInit, (unsigned flags))                                                                   \
    X(cuDriverGetVersion, (int* version))                                                         \
    X(cuGetErrorName, (CUresult error, const char** name))                                        \
    X(cuGetErrorString, (CUresult error, const char** text))                                      \
    X(cuDeviceGetCount, (int* count))                                                             \
    X(cuDeviceGet, (CUdevice * device, int ordinal))                                              \
    X(cuDeviceGetName, (char* name, int length, CUdevice device))                                 \
    X(cuDeviceGetAttribute, (int* value, int attribute, CUdevice device))                         \
    X(cuDeviceTotalMem, (std::size_t* bytes, CUdevice device))                                    \
    X(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))                           \
    X(cuCtxPushCurrent, (CUcontext context))                                                      \
    X(cuCtxPopCurrent, (CUcontext * context))                                                     \
    X(cuMemGetInfo, (std::size_t* free, std::size_t* total))                                      \
    X(cuMemAlloc, (CUdeviceptr * address, std::size_t bytes))                                     \
    X(cuMemFree, (CUdeviceptr address))                                                           \
    X(cuMemAllocAsync, (CUdeviceptr * address, std::size_t bytes, CUstream stream))               \
    X(cuMemFreeAsync, (CUdeviceptr address, CUstream stream))                                     \
    X(cuMemcpyHtoDAsync, (CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream))  \
    X(cuMemcpyDtoHAsync, (void* to, CUdeviceptr from, std::size_t bytes, CUstream stream))        \
    X(cuMemcpyPeerAsync, (CUdeviceptr to, CUcontext to_context, CUdeviceptr from,                 \
                          CUcontext from_context, std::size_t bytes, CUstream stream))            \
    X(cuMemsetD8Async, (CUdeviceptr to, unsigned char value, std::size_t bytes, CUstream stream)) \
    X(cuPointerGetAttribute, (void* value, int attribute, CUdeviceptr address))                   \
    X(cuStreamCreate, (CUstream * stream, unsigned flags))                                        \
    X(cuStreamDestroy, (CUstream stream))                                                         \
    X(cuStreamSynchronize, (CUstream stream))                                                     \
    X(cuStreamGetCtx, (CUstream stream, CUcontext * context))                                     \
    X(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))                        \
    X(cuEventCreate, (CUevent * event, unsigned flags))                                           \
    X(cuEventRecord, (CUevent event, CUstream stream))                                            \
    X(cuEventQuery, (CUevent event))                                                              \
    X(cuEventSynchronize, (CUevent event))                                                        \
    X(cuEventElapsedTime, (float* milliseconds, CUevent start, CUevent end))                      \
    X(cuEventDestroy, (CUevent event))                                                            \
    X(cuModuleLoadData, (CUmodule * module, const void* image))                                   \
    X(cuModuleUnload, (CUmodule module))                                                          \
    X(cuModuleGetFunction, (CUfunction * function, CUmodule module, const char* name))            \
    X(cuFuncSetAttribute, (CUfunction function, int attribute, int value))                        \
    X(cuTensorMapEncodeTiled,                                                                     \
      (CUtensorMap * map, int type, unsigned rank, void* address, const unsigned long long* dims, \
       const unsigned long long* strides, const unsigned* box, const unsigned* element_strides,   \
       int interleave, int swizzle, int promotion, int fill))                                     \
    X(cuLaunchKernel, (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,    \
                       unsigned block_x, unsigned block_y, unsigned block_z,                      \
                       unsigned shared_bytes, CUstream stream, void** arguments, void** extra))

}  // namespace nearfield::cuda
