// What a function of the stand-in driver begins with.
#pragma once

#include <mutex>

#include "failures.h"
#include "machine.h"

#define STANDIN_EXPORT extern "C" __attribute__((visibility("default")))

// The lock, the count of calls, and the failure a test has asked for.
#define STANDIN_ENTER(function)          \
    auto& m = ::standin::machine();      \
    const std::lock_guard lock(m.mutex); \
    if (const int code = ::standin::entered(#function); code >= 0) return code

#define STANDIN_NEEDS_CONTEXT()                     \
    const int device = ::standin::current_device(); \
    if (device < 0) return 201;                     \
    if (m.failed != 0) return m.failed

#define STANDIN_NEEDS_STREAM(handle)              \
    const auto on = ::standin::stream_of(handle); \
    if (on == nullptr || on->device != device) return 400
