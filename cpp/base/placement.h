// Placement: keeps a helper thread from waking on the CPU of the thread that wakes it.
//
// Linux likes to wake a thread near its waker. On small virtual machines it was seen to put both on
// one CPU while the other idled, call after call, so that two threads were as slow as one. Whoever
// wakes a helper therefore looks where that helper last ran, and if it is its own CPU, takes that CPU
// from the sleeping helper's affinity; the helper puts it back once awake. No call fails loudly: without
// permission, or elsewhere than on Linux, threads run where they are put.
// Source: own.
#pragma once

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
    int thread_ = 0;
    int cpu_ = -1;
    int kept_off_ = -1;
};

}  // namespace nearfield
