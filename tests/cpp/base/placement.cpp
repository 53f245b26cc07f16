// A sleeping helper is kept off its waker's CPU and has its own affinity back afterwards.
#include "base/placement.h"

#include <sched.h>

#include "check.h"

using nearfield::current_cpu;
using nearfield::Placement;

namespace {

cpu_set_t affinity() {
    cpu_set_t set;
    CPU_ZERO(&set);
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    return set;
}

}  // namespace

TEST(a_helper_is_kept_off_and_comes_back) {
    const cpu_set_t before = affinity();
    Placement placement;
    placement.note();
    const int cpu = current_cpu();
    placement.keep_off(cpu);
    const cpu_set_t kept_off = affinity();
    placement.restore();
    const cpu_set_t after = affinity();
    CHECK(CPU_EQUAL(&after, &before));
    // This very thread was "asleep": the call may have moved it between note() and current_cpu().
    if (!CPU_EQUAL(&kept_off, &before)) {
        CHECK_EQ(CPU_COUNT(&kept_off), CPU_COUNT(&before) - 1);
        CHECK(!CPU_ISSET(static_cast<unsigned>(cpu), &kept_off));
        CHECK(CPU_COUNT(&before) > 1);
    }
}

TEST(other_cpus_and_the_only_cpu_are_left_alone) {
    const cpu_set_t before = affinity();
    Placement placement;
    placement.keep_off(0);  // never noted
    placement.note();
    placement.keep_off(-1);
    placement.keep_off(current_cpu() + 1);
    cpu_set_t now = affinity();
    CHECK(CPU_EQUAL(&now, &before));

    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(current_cpu()), &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    placement.note();
    placement.keep_off(current_cpu());
    now = affinity();
    CHECK(CPU_EQUAL(&now, &one));
    placement.restore();
    CHECK_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}
