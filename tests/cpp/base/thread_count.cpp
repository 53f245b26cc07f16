#include "base/thread_count.h"

#include <sched.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "base/parallel.h"
#include "check.h"

using nearfield::detail::default_thread_count;

namespace {

void set_wish(const char* text) { ::setenv("NEARFIELD_NUM_THREADS", text, 1); }

}  // namespace

TEST(a_wish_is_taken_or_refused_by_name) {
    set_wish("3");
    CHECK_EQ(default_thread_count(256), 3);
    set_wish("256");
    CHECK_EQ(default_thread_count(256), 256);
    for (const char* wish : {"0", "-1", "257", "four", "2 ", " 2", "2.0", "99999999999999999999"}) {
        set_wish(wish);
        std::string text;
        try {
            default_thread_count(256);
        } catch (const std::invalid_argument& error) {
            text = error.what();
        }
        CHECK(text.find("NEARFIELD_NUM_THREADS") != std::string::npos);
        CHECK(text.find("\"" + std::string(wish) + "\"") != std::string::npos);
        // Not remembered: the call works once the variable is right or a number is chosen.
        CHECK_THROWS(std::invalid_argument, nearfield::num_threads());
        nearfield::set_num_threads(2);
        CHECK_EQ(nearfield::num_threads(), 2);
        nearfield::set_num_threads(0);
    }
    set_wish("");
    CHECK(default_thread_count(256) >= 1);
    set_wish("4");
    CHECK_EQ(nearfield::num_threads(), 4);
}

TEST(the_affinity_mask_binds) {
    ::unsetenv("NEARFIELD_NUM_THREADS");
    cpu_set_t before;
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    CHECK(default_thread_count(256) <= CPU_COUNT(&before));
    CHECK_EQ(default_thread_count(1), 1);
    int first = 0;
    while (!CPU_ISSET(first, &before)) {
        ++first;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_EQ(default_thread_count(256), 1);
    CHECK_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}
