#include "base/parallel.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "base/placement.h"
#include "base/thread_count.h"

namespace nearfield {
namespace {

using detail::StopScope;

constexpr std::size_t kStackBytes = std::size_t{2} << 20;
constexpr auto kCallerNap = std::chrono::milliseconds(25);  // between looks at the interrupt hook

/// One parallel_for, on the stack of its caller, which leaves only after all helpers have left.
class Job {
public:
    Job(std::size_t count, int threads, detail::RunRange run, void* body)
        : count_(count), threads_(threads), run_(run), body_(body) {}

    int threads() const noexcept { return threads_; }
    std::atomic<bool>& stop() noexcept { return stop_; }

    bool wants_helper() const noexcept {
        return joined_ + 1 < threads_ && next_.load(std::memory_order_relaxed) < count_ &&
               !stop_.load(std::memory_order_relaxed);
    }
    /// join, leave and wants_helper are called under the pool's mutex. Returns the worker number.
    int join() noexcept {
        active_.fetch_add(1, std::memory_order_relaxed);
        return ++joined_;
    }
    /// True for the last helper. The caller may destroy the job right after this.
    bool leave() noexcept { return active_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
    bool abandoned() const noexcept { return active_.load(std::memory_order_acquire) == 0; }

    /// Runs ranges until none is left or the job has stopped.
    void work(int worker) noexcept {
        try {
            std::size_t begin = 0;
            std::size_t end = 0;
            while (!stop_.load(std::memory_order_relaxed) && claim(begin, end)) {
                run_(body_, begin, end, worker);
            }
        } catch (...) {
            fail(std::current_exception());
        }
    }

    /// Keeps the first error and stops the job.
    void fail(std::exception_ptr error) noexcept {
        if (!failed_.exchange(true, std::memory_order_acq_rel)) {
            error_ = std::move(error);
        }
        stop_.store(true, std::memory_order_relaxed);
    }

    void rethrow_error() {
        if (error_) {
            std::rethrow_exception(std::move(error_));
        }
    }

private:
    /// Takes the next range. Ranges shrink with what is left: few steps for long loops, an even
    /// finish for uneven ones.
    bool claim(std::size_t& begin, std::size_t& end) noexcept {
        begin = next_.load(std::memory_order_relaxed);
        do {
            if (begin >= count_) {
                return false;
            }
            const std::size_t shares = 4 * static_cast<std::size_t>(threads_);
            end = begin + std::max<std::size_t>(1, (count_ - begin) / shares);
        } while (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed));
        return true;
    }

    const std::size_t count_;
    const int threads_;
    const detail::RunRange run_;
    void* const body_;
    int joined_ = 0;
    std::exception_ptr error_;
    std::atomic<bool> stop_{false};
    std::atomic<bool> failed_{false};
    std::atomic<int> active_{0};
    alignas(64) std::atomic<std::size_t> next_{0};
};

void relax_cpu() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

/// Waits a moment for `done`, which is cheaper than sleeping when the other side is about ready.
template <class Done>
void spin_for(std::chrono::nanoseconds time, Done done) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    do {
        for (int i = 0; i < 32; ++i) {
            if (done()) {
                return;
            }
            relax_cpu();
        }
    } while (std::chrono::steady_clock::now() < deadline);
}

/// Threads that help with any job. Never destroyed: its threads sleep through process exit.
class Pool {
public:
    void run(Job& job);

    Pool* forgotten = nullptr;  // pools that a fork left behind, kept reachable for leak checkers

private:
    static void* thread_main(void* pool);
    [[noreturn]] void serve();
    Job* find_job() noexcept;
    void submit(Job& job);
    void wait_for_helpers(Job& job);
    void start_threads(int wanted) noexcept;

    std::mutex mutex_;
    std::condition_variable work_;
    std::condition_variable done_;
    std::list<Job*> jobs_;
    // With one CPU the other side cannot get ready while this one spins.
    const std::chrono::nanoseconds spin_time_{std::thread::hardware_concurrency() == 1 ? 0
                                                                                       : 30'000};
    int started_ = 0;
    int asleep_ = 0;
    std::array<Placement*, kMaxThreads> sleepers_{};  // the first asleep_
    std::atomic<std::uint64_t> submissions_{0};       // changes only under the mutex
};

std::atomic<Pool*> current_pool{nullptr};
std::atomic<int> chosen_threads{0};   // by set_num_threads; 0: none
std::atomic<int> default_threads{0};  // 0: not yet known

/// Runs in the child of a fork: the pool's threads do not exist there and its mutex may be locked
/// for ever, so that the child starts over with a new pool (and its own affinity and quota).
void forget_pool() {
    static Pool* last_forgotten = nullptr;
    if (Pool* const old = current_pool.exchange(nullptr); old != nullptr) {
        old->forgotten = last_forgotten;
        last_forgotten = old;
    }
    default_threads.store(0);
}

[[maybe_unused]] const int fork_handler = ::pthread_atfork(nullptr, nullptr, forget_pool);

Pool& shared_pool() {
    Pool* pool = current_pool.load(std::memory_order_acquire);
    if (pool == nullptr) {
        // No lock and no static guard: a fork could copy either in its locked state.
        Pool* const fresh = new Pool;
        if (current_pool.compare_exchange_strong(pool, fresh, std::memory_order_acq_rel)) {
            return *fresh;
        }
        delete fresh;
    }
    return *pool;
}

void Pool::run(Job& job) {
    submit(job);
    const StopScope scope(job.stop(), StopScope::Role::kCaller);
    job.work(0);
    if (current_pool.load(std::memory_order_relaxed) != this) {
        throw std::runtime_error(
            "the process forked inside a parallel loop and the child returned into the loop, whose "
            "other threads it does not have; let the child call exec or _exit instead");
    }
    wait_for_helpers(job);
    job.rethrow_error();
}

void Pool::submit(Job& job) {
    int wake = 0;
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(&job);
        start_threads(job.threads() - 1);
        submissions_.fetch_add(1, std::memory_order_release);
        wake = std::min(asleep_, job.threads() - 1);
        const int here = wake > 0 ? current_cpu() : -1;
        for (int i = 0; i < asleep_; ++i) {
            sleepers_[static_cast<std::size_t>(i)]->keep_off(here);
        }
    }
    for (; wake > 0; --wake) {
        work_.notify_one();
    }
}

void Pool::wait_for_helpers(Job& job) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.remove(&job);
    }
    spin_for(spin_time_, [&] { return job.abandoned(); });
    while (!job.abandoned()) {
        {
            std::unique_lock lock(mutex_);
            if (done_.wait_for(lock, kCallerNap, [&] { return job.abandoned(); })) {
                return;
            }
        }
        try {
            checkpoint();
        } catch (...) {
            job.fail(std::current_exception());
        }
    }
}

/// Threads that the system refuses are done without: the caller runs whatever nobody takes.
void Pool::start_threads(int wanted) noexcept {
    if (started_ >= wanted) {
        return;
    }
    // Signals belong to the application's threads, except those a thread raises by its own fault
    // and the profiler's.
    sigset_t blocked;
    sigset_t before;
    ::sigfillset(&blocked);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF}) {
        ::sigdelset(&blocked, own);
    }
    ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
    pthread_attr_t attributes;
    if (::pthread_attr_init(&attributes) == 0) {
        ::pthread_attr_setstacksize(&attributes, kStackBytes);
        ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_t thread;
        while (started_ < wanted &&
               ::pthread_create(&thread, &attributes, &Pool::thread_main, this) == 0) {
            ++started_;
        }
        ::pthread_attr_destroy(&attributes);
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void* Pool::thread_main(void* pool) {
#ifdef __linux__
    ::pthread_setname_np(::pthread_self(), "nearfield");
#endif
    static_cast<Pool*>(pool)->serve();
}

void Pool::serve() {
    Placement placement;
    std::unique_lock lock(mutex_);
    for (;;) {
        if (Job* const job = find_job(); job != nullptr) {
            const int worker = job->join();
            lock.unlock();
            {
                const StopScope scope(job->stop(), StopScope::Role::kWorker);
                job->work(worker);
            }
            lock.lock();
            if (job->leave()) {
                done_.notify_all();
            }
            continue;
        }
        const std::uint64_t seen = submissions_.load(std::memory_order_relaxed);
        const auto submitted = [&] { return submissions_.load(std::memory_order_acquire) != seen; };
        lock.unlock();
        spin_for(spin_time_, submitted);
        lock.lock();
        if (!submitted()) {
            placement.note();
            sleepers_[static_cast<std::size_t>(asleep_++)] = &placement;
            work_.wait(lock, submitted);
            const auto end = sleepers_.begin() + asleep_;
            std::swap(*std::find(sleepers_.begin(), end, &placement), *(end - 1));
            --asleep_;
            placement.restore();
        }
    }
}

Job* Pool::find_job() noexcept {
    const auto found = std::find_if(jobs_.begin(), jobs_.end(),
                                    [](const Job* job) { return job->wants_helper(); });
    return found == jobs_.end() ? nullptr : *found;
}

}  // namespace

int num_threads() {
    if (const int chosen = chosen_threads.load(std::memory_order_relaxed); chosen != 0) {
        return chosen;
    }
    int threads = default_threads.load(std::memory_order_relaxed);
    if (threads == 0) {
        threads = detail::default_thread_count(kMaxThreads);
        default_threads.store(threads, std::memory_order_relaxed);
    }
    return threads;
}

void set_num_threads(int threads) {
    if (threads < 0 || threads > kMaxThreads) {
        throw std::invalid_argument("threads is " + std::to_string(threads) + "; expected 1 to " +
                                    std::to_string(kMaxThreads) + ", or 0 for the default");
    }
    chosen_threads.store(threads, std::memory_order_relaxed);
}

int max_workers(int threads) {
    if (threads < 0) {
        throw std::invalid_argument("threads is " + std::to_string(threads) +
                                    "; expected a positive number, or 0 for the default");
    }
    return threads == 0 ? num_threads() : std::min(threads, kMaxThreads);
}

namespace detail {

void run_parallel(std::size_t count, int threads, RunRange run, void* body) {
    const int workers = max_workers(threads);
    if (count == 0) {
        return;
    }
    if (inside_job()) {
        run(body, 0, count, 0);
        return;
    }
    const auto useful = static_cast<int>(std::min(count, static_cast<std::size_t>(workers)));
    Job job(count, useful, run, body);
    if (useful == 1) {
        const StopScope scope(job.stop(), StopScope::Role::kCaller);
        run(body, 0, count, 0);
        return;
    }
    shared_pool().run(job);
}

}  // namespace detail
}  // namespace nearfield
