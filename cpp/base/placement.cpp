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
    if (cpu < 0 || cpu == kept_off_) return;
    restore();  // left asleep by an earlier waker on another CPU
    if (cpu != cpu_) return;
    // A machine with more CPUs than cpu_set_t holds makes this fail: it has room for both threads.
    if (::sched_getaffinity(thread_, sizeof own_, &own_) != 0) return;
    const auto bit = static_cast<unsigned>(cpu);
    if (!CPU_ISSET(bit, &own_) || CPU_COUNT(&own_) < 2) return;
    given_ = own_;
    CPU_CLR(bit, &given_);
    if (::sched_setaffinity(thread_, sizeof given_, &given_) == 0) kept_off_ = cpu;
}

void Placement::restore() noexcept {
    if (kept_off_ < 0) return;
    cpu_set_t now;
    const bool ours =
        ::sched_getaffinity(thread_, sizeof now, &now) == 0 && CPU_EQUAL(&now, &given_);
    if (!ours || ::sched_setaffinity(thread_, sizeof own_, &own_) == 0) kept_off_ = -1;
}

#else

int current_cpu() noexcept { return -1; }
void Placement::note() noexcept {}
void Placement::keep_off(int) noexcept {}
void Placement::restore() noexcept {}

#endif

}  // namespace nearfield
