// Placement: keeps a helper thread from waking on the CPU of the thread that wakes it.
//
// Linux likes to wake a thread near its waker. On small virtual machines it was seen to put both on
// one CPU while the other idled, call after call, so that two threads were as slow as one. Whoever
// wakes helpers therefore looks where the sleeping ones last ran, and takes its own CPU from the
// affinity of those that ran on it; a helper puts its affinity back once awake, unless somebody else has
// changed it meanwhile. Without permission, or elsewhere than on Linux, threads run where they are put.
// Source: own.
#pragma once

#ifdef __linux__
#include <sched.h>
#endif

namespace nearfield {

/// The CPU the calling thread runs on, or -1.
int current_cpu() noexcept;

/// One helper's. Its calls must not overlap.
class Placement {
public:
    /// By the helper, before it sleeps.
    void note() noexcept;

    /// By who wakes the helper, while it sleeps.
    void keep_off(int cpu) noexcept;

    /// By the helper, after waking.
    void restore() noexcept;

private:
#ifdef __linux__
    int thread_ = 0;
    int cpu_ = -1;       // where it went to sleep
    int kept_off_ = -1;  // the CPU taken away
    cpu_set_t own_{};    // its affinity before that,
    cpu_set_t given_{};  // and since
#endif
};

}  // namespace nearfield
