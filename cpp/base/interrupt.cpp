#include "base/interrupt.h"

#include <chrono>
#include <cstdint>
#include <ctime>

namespace nearfield {
namespace {

constexpr std::int64_t kPollNanoseconds = 50'000'000;

std::atomic<InterruptHook> installed_hook{nullptr};

struct ThreadState {
    std::atomic<bool>* stop = nullptr;  // the current job's flag
    bool worker = false;
    std::int64_t next_poll = 0;
};
constinit thread_local ThreadState state;

/// A few milliseconds of resolution are enough, and the coarse clock is several times cheaper.
std::int64_t now_nanoseconds() noexcept {
#ifdef CLOCK_MONOTONIC_COARSE
    timespec time;
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
#else
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
#endif
}

}  // namespace

void set_interrupt_hook(InterruptHook hook) noexcept {
    installed_hook.store(hook, std::memory_order_relaxed);
}

void checkpoint() {
    ThreadState& self = state;
    if (self.stop != nullptr && self.stop->load(std::memory_order_relaxed)) {
        throw Interrupted();
    }
    if (self.worker) {
        return;
    }
    const InterruptHook hook = installed_hook.load(std::memory_order_relaxed);
    if (hook == nullptr) {
        return;
    }
    const std::int64_t now = now_nanoseconds();
    if (now < self.next_poll) {
        return;
    }
    self.next_poll = now + kPollNanoseconds;
    if (hook()) {
        if (self.stop != nullptr) {
            self.stop->store(true, std::memory_order_relaxed);
        }
        throw Interrupted();
    }
}

namespace detail {

StopScope::StopScope(std::atomic<bool>& stop, Role role) noexcept {
    state.stop = &stop;
    state.worker = role == Role::kWorker;
}

StopScope::~StopScope() {
    state.stop = nullptr;
    state.worker = false;
}

bool inside_job() noexcept { return state.stop != nullptr; }

}  // namespace detail
}  // namespace nearfield
