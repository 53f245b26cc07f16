// parallel_for: one loop over many threads. The engine owns its pool of threads: it starts at the
// first use, survives fork, never blocks process exit and is shared by all callers.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

#include "base/interrupt.h"

namespace nearfield {

/// The most threads one call can use.
inline constexpr int kMaxThreads = 256;

/// Threads a call uses when it asks for 0: the last set_num_threads(n > 0), else
/// NEARFIELD_NUM_THREADS, else what the affinity mask and the cgroup CPU quota allow.
int num_threads();

/// 0 goes back to the default; std::invalid_argument outside [0, kMaxThreads].
void set_num_threads(int threads);

/// Upper bound of the worker numbers that parallel_for(_, threads, _) passes to its body;
/// more than kMaxThreads counts as kMaxThreads.
int max_workers(int threads);

namespace detail {
using RunRange = void (*)(void* body, std::size_t begin, std::size_t end, int worker);
void run_parallel(std::size_t count, int threads, RunRange run, void* body);
}  // namespace detail

/// Calls body(index, worker) for every index in [0, count), in no fixed order, on the calling
/// thread and up to threads - 1 others (0: num_threads()); worker < max_workers(threads), and no
/// two bodies run under the same worker number at once.
///
/// A call from inside a body runs serially on that thread as worker 0. The first exception of a
/// body reaches the caller once all running bodies have ended; indices not yet started are then
/// skipped. Each index costs a checkpoint(), so that one index should be worth 0.1 us or more.
template <class F>
void parallel_for(std::size_t count, int threads, F&& body) {
    using Body = std::remove_reference_t<F>;
    const auto run = [](void* erased, std::size_t begin, std::size_t end, int worker) {
        Body& call = *static_cast<Body*>(erased);
        for (std::size_t i = begin; i < end; ++i) {
            checkpoint();
            call(i, worker);
        }
    };
    const void* const address = std::addressof(body);
    detail::run_parallel(count, threads, run, const_cast<void*>(address));
}

}  // namespace nearfield
