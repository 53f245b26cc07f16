#include "base/parallel.h"

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

using nearfield::parallel_for;

namespace {

/// Every index exactly once, worker numbers in range and never used by two bodies at once.
void check_loop(std::size_t count, int threads) {
    const auto workers = static_cast<std::size_t>(nearfield::max_workers(threads));
    std::vector<std::atomic<int>> visits(count);
    std::vector<std::atomic<int>> busy(workers);
    std::atomic<int> wrong{0};
    parallel_for(count, threads, [&](std::size_t index, int worker) {
        const auto slot = static_cast<std::size_t>(worker);
        if (worker < 0 || slot >= workers || busy[slot].fetch_add(1) != 0) {
            ++wrong;
            return;
        }
        visits[index].fetch_add(1, std::memory_order_relaxed);
        busy[slot].fetch_sub(1);
    });
    CHECK_EQ(wrong.load(), 0);
    for (const auto& visit : visits) {
        CHECK_EQ(visit.load(), 1);
    }
}

void pause_ms(int milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

}  // namespace

TEST(every_index_is_visited_once) {
    for (const int threads : {0, 1, 2, 3, 8, 40}) {
        for (const std::size_t count : {0U, 1U, 2U, 3U, 17U, 1000U, 100'000U}) {
            check_loop(count, threads);
        }
    }
}

TEST(short_loops_in_quick_succession) {
    for (int round = 0; round < 3000; ++round) {
        check_loop(static_cast<std::size_t>(round % 9), 4);
    }
}

TEST(more_threads_than_asked_by_default_really_run) {
    std::atomic<int> here{0};
    std::atomic<int> most{0};
    parallel_for(6, 6, [&](std::size_t, int) {
        const int now = ++here;
        for (int seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        for (int i = 0; i < 2000 && most.load() < 6; ++i) {
            pause_ms(1);
        }
        --here;
    });
    CHECK_EQ(most.load(), 6);
}

TEST(nested_loops_run_inline) {
    std::atomic<int> wrong{0};
    std::atomic<int> total{0};
    for (const int threads : {1, 4}) {
        parallel_for(64, threads, [&](std::size_t, int) {
            const auto self = std::this_thread::get_id();
            parallel_for(50, 4, [&](std::size_t, int worker) {
                wrong += worker != 0 || std::this_thread::get_id() != self ? 1 : 0;
                ++total;
            });
        });
    }
    CHECK_EQ(wrong.load(), 0);
    CHECK_EQ(total.load(), 2 * 64 * 50);
    check_loop(1000, 4);
}

TEST(many_callers_at_once) {
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 8; ++caller) {
        callers.emplace_back([&wrong, caller] {
            for (int round = 0; round < 60; ++round) {
                const auto count = static_cast<std::size_t>(1 + (round * 37 + caller) % 500);
                std::atomic<std::size_t> sum{0};
                parallel_for(count, 1 + (caller + round) % 5,
                             [&](std::size_t index, int) { sum += index + 1; });
                wrong += sum.load() != count * (count + 1) / 2 ? 1 : 0;
            }
        });
    }
    for (std::thread& caller : callers) {
        caller.join();
    }
    CHECK_EQ(wrong.load(), 0);
}

TEST(a_caller_finishes_alone_while_the_workers_are_busy) {
    std::atomic<bool> release{false};
    std::atomic<int> holding{0};
    std::thread other([&] {
        parallel_for(40, 40, [&](std::size_t, int) {
            ++holding;
            while (!release.load()) {
                pause_ms(1);
            }
        });
    });
    while (holding.load() < 40) {
        pause_ms(1);
    }
    check_loop(1000, 4);
    release = true;
    other.join();
}

TEST(the_first_exception_reaches_the_caller) {
    for (const int threads : {1, 2, 6}) {
        for (int round = 0; round < 200; ++round) {
            std::atomic<int> running{0};
            std::atomic<int> after{0};
            std::string text;
            try {
                parallel_for(10'000, threads, [&](std::size_t index, int) {
                    ++running;
                    if (index == 37) {
                        --running;
                        throw std::out_of_range("index 37");
                    }
                    after += index > 37 ? 1 : 0;
                    --running;
                });
            } catch (const std::out_of_range& error) {
                text = error.what();
            }
            CHECK_EQ(text, std::string("index 37"));
            CHECK_EQ(running.load(), 0);
            CHECK(after.load() < 10'000);
        }
    }
    check_loop(1000, 6);
}

TEST(every_body_may_throw) {
    for (int round = 0; round < 200; ++round) {
        CHECK_THROWS(std::runtime_error, parallel_for(100, 4, [](std::size_t index, int) {
                         throw std::runtime_error(std::to_string(index));
                     }));
    }
}

TEST(a_failure_skips_what_was_not_started) {
    std::atomic<int> ran{0};
    CHECK_THROWS(std::logic_error, parallel_for(10'000, 2, [&](std::size_t index, int) {
                     if (index == 0) {
                         throw std::logic_error("stop");
                     }
                     ++ran;
                     pause_ms(1);
                 }));
    CHECK(ran.load() < 200);
}

TEST(threads_can_be_chosen) {
    const int by_default = nearfield::num_threads();
    CHECK(by_default >= 1 && by_default <= nearfield::kMaxThreads);
    CHECK_EQ(nearfield::max_workers(0), by_default);
    nearfield::set_num_threads(5);
    CHECK_EQ(nearfield::num_threads(), 5);
    CHECK_EQ(nearfield::max_workers(0), 5);
    CHECK_EQ(nearfield::max_workers(7), 7);
    check_loop(1000, 0);
    nearfield::set_num_threads(nearfield::kMaxThreads);
    CHECK_EQ(nearfield::num_threads(), nearfield::kMaxThreads);
    CHECK_EQ(nearfield::max_workers(1'000'000), nearfield::kMaxThreads);
    nearfield::set_num_threads(0);
    CHECK_EQ(nearfield::num_threads(), by_default);
    CHECK_THROWS(std::invalid_argument, nearfield::set_num_threads(-1));
    CHECK_THROWS(std::invalid_argument, nearfield::set_num_threads(nearfield::kMaxThreads + 1));
    CHECK_THROWS(std::invalid_argument, nearfield::max_workers(-2));
    CHECK_THROWS(std::invalid_argument, parallel_for(3, -1, [](std::size_t, int) {}));
    CHECK_EQ(nearfield::num_threads(), by_default);
}

TEST(refused_threads_are_done_without) {
    if (kSanitized) {
        SKIP("a sanitizer cannot run with little address space");
    }
    // No room for another stack: pthread_create fails with EAGAIN.
    long pages = 0;
    std::FILE* const statm = std::fopen("/proc/self/statm", "r");
    if (statm == nullptr || std::fscanf(statm, "%ld", &pages) != 1) {
        SKIP("no /proc/self/statm");
    }
    std::fclose(statm);
    rlimit before{};
    CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
    rlimit tight = before;
    tight.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE)) + (rlim_t{1} << 20);
    CHECK_EQ(setrlimit(RLIMIT_AS, &tight), 0);
    std::atomic<int> visits{0};
    parallel_for(2000, 200, [&](std::size_t, int) { ++visits; });
    CHECK_EQ(setrlimit(RLIMIT_AS, &before), 0);
    CHECK_EQ(visits.load(), 2000);
    check_loop(2000, 200);
}
