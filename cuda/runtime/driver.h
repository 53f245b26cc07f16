// Driver: NVIDIA's driver library, opened when it is first needed and never closed.
//
// libcuda.so.1 is found by the system's loader, or is the file NEARFIELD_LIBCUDA names. Its functions
// come from cuGetProcAddress, in the form they have since CUDA 12.0, the oldest version taken.
// Any thread may call any of it. A process forked after the first use cannot use CUDA, and is told.
// Source: own; CUDA Driver API, "Driver Entry Point Access".
#pragma once

#include <sys/types.h>

#include <string>

#include "base/error.h"
#include "cuda/runtime/driver_api.h"

namespace nearfield::cuda {

inline constexpr int kOldestDriver = 12000;

struct Driver {
#define NEARFIELD_DECLARE(name, parameters) CUresult(*name) parameters = nullptr;
    NEARFIELD_DRIVER_FUNCTIONS(NEARFIELD_DECLARE)
#undef NEARFIELD_DECLARE
    int version = 0;   // of CUDA, as 1000 * major + 10 * minor
    std::string path;  // of the library, as it was asked for
    pid_t process = 0;
};

/// Opens and starts the driver at the first call. DeviceError where there is none, it is too old, it
/// does not start, or the process was forked since; a later call tries again.
const Driver& driver();

/// The driver if it is open and this is the process that opened it, else null. For destructors.
const Driver* open_driver() noexcept;

/// DeviceError unless `result` is success. `doing` completes "cannot ...".
void check(CUresult result, const std::string& doing);

/// "12.4" of 12040.
std::string version_text(int version);

}  // namespace nearfield::cuda
