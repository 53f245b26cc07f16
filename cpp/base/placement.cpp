#include "base/placement.h"

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace nearfield {

#ifdef __linux__

int current_cpu() noexcept { return ::sched_getcpu(); }

void Placement::note() noexcept {
    if (thread_ == 0) thread_ = static_cast<int>(::syscall(SYS_gettid));
    cpu_ = ::sched_getcpu();
}

void Placement::keep_off(int cpu) noexcept {
    if (cpu < 0 || cpu != cpu_ || kept_off_ >= 0) return;
    cpu_set_t allowed;
    // A machine with more CPUs than cpu_set_t holds makes this fail: it has room for both threads.
    if (::sched_getaffinity(thread_, sizeof allowed, &allowed) != 0) return;
    const auto bit = static_cast<unsigned>(cpu);
    if (!CPU_ISSET(bit, &allowed) || CPU_COUNT(&allowed) < 2) return;
    CPU_CLR(bit, &allowed);
    if (::sched_setaffinity(thread_, sizeof allowed, &allowed) == 0) kept_off_ = cpu;
}

void Placement::restore() noexcept {
    if (kept_off_ < 0) return;
    cpu_set_t allowed;
    if (::sched_getaffinity(thread_, sizeof allowed, &allowed) == 0) {
        CPU_SET(static_cast<unsigned>(kept_off_), &allowed);
        ::sched_setaffinity(thread_, sizeof allowed, &allowed);
    }
    kept_off_ = -1;
}

#else

int current_cpu() noexcept { return -1; }
void Placement::note() noexcept {}
void Placement::keep_off(int) noexcept {}
void Placement::restore() noexcept {}

#endif

}  // namespace nearfield
