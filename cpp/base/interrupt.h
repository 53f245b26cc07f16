// Stopping a long call: loops call checkpoint(), which throws Interrupted soon after a signal or
// after another worker of the same job has failed.
#pragma once

#include <atomic>

#include "base/error.h"

namespace nearfield {

/// Returns true when the running call should stop. It is called on the thread that entered the
/// engine, never on a worker, at most every 50 ms, and never again once it has returned true.
using InterruptHook = bool (*)();

/// nullptr removes the hook.
void set_interrupt_hook(InterruptHook hook) noexcept;

/// Call every few hundred microseconds inside long loops; costs a few nanoseconds.
/// Throws Interrupted when the call is to stop.
void checkpoint();

namespace detail {

/// Ties the calling thread to a job's stop flag while it works on that job.
class StopScope {
public:
    enum class Role { kCaller, kWorker };
    StopScope(std::atomic<bool>& stop, Role role) noexcept;
    ~StopScope();
    StopScope(const StopScope&) = delete;
    StopScope& operator=(const StopScope&) = delete;
};

/// True while the calling thread works on a job.
bool inside_job() noexcept;

}  // namespace detail
}  // namespace nearfield
