// A child of fork builds its own pool, whatever the parent's threads were doing.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "base/parallel.h"
#include "check.h"

// The thread sanitizer ends children of threaded programs that start threads unless told not to.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

using nearfield::parallel_for;

namespace {

constexpr unsigned kLimitSeconds = kSanitized ? 30 : 5;
constexpr int kForks = kSanitized ? 40 : 200;

bool loop_is_right(int threads) {
    std::atomic<std::size_t> sum{0};
    parallel_for(500, threads, [&](std::size_t index, int) { sum += index; });
    return sum.load() == 500 * 499 / 2;
}

/// Forks; the child runs `body` and must report success within the limit (else SIGALRM ends it).
template <class Body>
void check_child(Body body) {
    const pid_t child = fork();
    if (child == 0) {
        std::signal(SIGALRM, SIG_DFL);
        alarm(kLimitSeconds);
        _exit(body() ? 0 : 1);
    }
    CHECK(child > 0);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

}  // namespace

TEST(children_use_a_pool_after_the_parent_did) {
    for (int round = 0; round < kForks; ++round) {
        CHECK(loop_is_right(3));
        check_child([] { return loop_is_right(3) && loop_is_right(5); });
    }
    CHECK(loop_is_right(3));
}

TEST(children_of_a_process_whose_other_threads_are_in_loops) {
    std::atomic<bool> done{false};
    std::atomic<int> wrong{0};
    std::thread busy([&] {
        while (!done.load()) {
            wrong += loop_is_right(4) ? 0 : 1;
        }
    });
    for (int round = 0; round < kForks; ++round) {
        check_child([] { return loop_is_right(4); });
    }
    done = true;
    busy.join();
    CHECK_EQ(wrong.load(), 0);
    CHECK(loop_is_right(4));
}

TEST(grandchildren) {
    for (int round = 0; round < 10; ++round) {
        check_child([] {
            bool right = loop_is_right(3);
            try {
                check_child([] { return loop_is_right(3); });
            } catch (const check::Failure&) {
                right = false;
            }
            return right && loop_is_right(3);
        });
    }
}

TEST(a_child_forked_inside_a_body_is_told_when_it_returns_into_the_loop) {
    // The caller forks while workers hold other indices; the child must not wait for them.
    std::atomic<int> failed{0};
    parallel_for(8, 2, [&](std::size_t, int worker) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        if (worker == 0) {
            try {
                check_child([] { return loop_is_right(4); });
            } catch (const check::Failure&) {
                ++failed;
            }
        }
    });
    CHECK_EQ(failed.load(), 0);
    pid_t child = -1;
    bool told = false;
    try {
        parallel_for(8, 2, [&](std::size_t, int worker) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            if (worker == 0 && child == -1) {
                child = fork();
                if (child == 0) {
                    alarm(kLimitSeconds);
                }
            }
        });
    } catch (const std::runtime_error&) {
        told = true;
    }
    if (child == 0) {
        _exit(told && loop_is_right(4) ? 0 : 1);
    }
    CHECK(!told);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

TEST(a_child_that_exits_normally_does_not_hang) {
    CHECK(loop_is_right(3));
    const pid_t child = fork();
    if (child == 0) {
        alarm(kLimitSeconds);
        const bool right = loop_is_right(3);
        std::exit(right ? 0 : 1);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}
