// A signal stops a long call soon, wherever its caller is at that moment.
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "base/interrupt.h"
#include "base/parallel.h"
#include "check.h"

using Clock = std::chrono::steady_clock;
using nearfield::checkpoint;
using nearfield::Interrupted;
using nearfield::parallel_for;

namespace {

std::atomic<bool> signalled{false};
std::atomic<int> polls{0};
std::atomic<int> foreign_polls{0};
std::thread::id caller;

bool hook() {
    ++polls;
    foreign_polls += std::this_thread::get_id() != caller ? 1 : 0;
    return signalled.load();
}

/// Installs the hook for one test and "sends a signal" after some time.
class Signal {
public:
    explicit Signal(std::chrono::milliseconds delay) {
        signalled = false;
        polls = 0;
        foreign_polls = 0;
        caller = std::this_thread::get_id();
        nearfield::set_interrupt_hook(hook);
        sender_ = std::thread([this, delay] {
            std::this_thread::sleep_for(delay);
            sent_ = Clock::now();
            signalled = true;
        });
    }
    ~Signal() {
        sender_.join();
        nearfield::set_interrupt_hook(nullptr);
    }
    double milliseconds_since() const {
        return std::chrono::duration<double, std::milli>(Clock::now() - sent_).count();
    }

private:
    Clock::time_point sent_;
    std::thread sender_;
};

constexpr auto kDelay = std::chrono::milliseconds(120);

/// Runs `call`, which would take minutes, and checks that the signal ends it in time.
template <class Call>
void check_stops(Call call) {
    const Signal signal(kDelay);
    bool interrupted = false;
    try {
        call();
    } catch (const Interrupted&) {
        interrupted = true;
    }
    CHECK(interrupted);
    CHECK(signalled.load());
    const double late = signal.milliseconds_since();
    std::printf("  stopped %.1f ms after the signal\n", late);
    CHECK(late < 250);
    CHECK_EQ(foreign_polls.load(), 0);
    CHECK(polls.load() >= 1 && polls.load() <= 20);
}

void nap() { std::this_thread::sleep_for(std::chrono::microseconds(200)); }

}  // namespace

TEST(short_bodies_stop) {
    for (const int threads : {1, 2, 4}) {
        check_stops([&] { parallel_for(10'000'000, threads, [](std::size_t, int) { nap(); }); });
    }
}

TEST(long_bodies_stop_at_their_checkpoints) {
    for (const int threads : {1, 2, 4}) {
        check_stops([&] {
            parallel_for(8, threads, [](std::size_t, int) {
                for (int i = 0; i < 1'000'000; ++i) {
                    nap();
                    checkpoint();
                }
            });
        });
    }
}

TEST(a_caller_that_waits_for_workers_stops) {
    check_stops([] {
        parallel_for(4, 4, [](std::size_t, int worker) {
            // The caller's own indices end at once, the others only by the signal.
            for (int i = 0; i < 1'000'000 && worker != 0; ++i) {
                nap();
                checkpoint();
            }
            if (worker == 0) {
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
            }
        });
    });
}

TEST(loops_in_loops_stop) {
    check_stops([] {
        parallel_for(4, 2, [](std::size_t, int) {
            parallel_for(1'000'000, 2, [](std::size_t, int) { nap(); });
        });
    });
}

TEST(a_row_of_short_loops_stops) {
    check_stops([] {
        for (;;) {
            parallel_for(4, 2, [](std::size_t, int) { nap(); });
        }
    });
}

TEST(a_plain_loop_stops) {
    check_stops([] {
        for (;;) {
            nap();
            checkpoint();
        }
    });
}

TEST(a_failed_body_stops_the_long_ones) {
    const auto start = Clock::now();
    CHECK_THROWS(std::out_of_range, parallel_for(2, 2, [](std::size_t index, int) {
                     std::this_thread::sleep_for(std::chrono::milliseconds(5));
                     if (index == 0) {
                         throw std::out_of_range("0");
                     }
                     for (int i = 0; i < 1'000'000; ++i) {
                         nap();
                         checkpoint();
                     }
                 }));
    CHECK(Clock::now() - start < std::chrono::milliseconds(500));
}

TEST(the_pool_works_after_a_stop_and_checkpoints_are_cheap) {
    nearfield::set_interrupt_hook([] { return false; });
    std::atomic<int> visits{0};
    parallel_for(1000, 4, [&](std::size_t, int) { ++visits; });
    CHECK_EQ(visits.load(), 1000);
    constexpr int kCalls = 200'000;
    const auto start = Clock::now();
    for (int i = 0; i < kCalls; ++i) {
        checkpoint();
    }
    const double each =
        std::chrono::duration<double, std::nano>(Clock::now() - start).count() / kCalls;
    nearfield::set_interrupt_hook(nullptr);
    std::printf("  checkpoint on the caller: %.1f ns\n", each);
    CHECK(kSanitized || each < 500);
}
