// What the stand-in driver pretends, and which of its calls fail: read from the environment at every
// call, so that a test can change it at any time.
//
//   STANDIN_FAILS       "cuMemAlloc=2,cuLaunchKernel=700@3": calls of a function return a code, from the
//                       first or the third one after the variable changed, or "@3-5" from the third to the
//                       fifth; where the code is 0 they succeed and do nothing, as if they were forgotten
//   STANDIN_EARLY       "1": work on this device's streams runs as soon as it is enqueued, and not as late
//                       as can be; with work it waits for, of course
//   STANDIN_VERSION     of CUDA, 12080
//   STANDIN_DEVICES     how many, 2
//   STANDIN_CAPABILITY  "9.0"
//   STANDIN_MEMORY      bytes of a device, 1 GiB
//   STANDIN_NVRTC       version of the compiler, "12.8"
//   STANDIN_ARCHS       what it compiles for, "80,90"
//   STANDIN_SEED        of the kernels' schedules
#pragma once

#include <cstddef>
#include <string>

namespace standin {

/// Counts a call; the code it is to return without doing anything, or -1.
int entered(const char* function);

/// Calls so far.
std::size_t calls_of(const std::string& function);

std::string setting(const char* variable, const char* otherwise);
long number(const char* variable, long otherwise);

}  // namespace standin
