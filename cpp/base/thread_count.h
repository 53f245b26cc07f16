// How many threads this process may run at once.
#pragma once

#include <string>

namespace nearfield::detail {

/// NEARFIELD_NUM_THREADS if it is set and not empty (std::invalid_argument if it is no number in
/// [1, limit]), else the least of the hardware's threads, the affinity mask and the cgroup CPU
/// quota rounded up. In [1, limit].
int default_thread_count(int limit);

inline constexpr int kNoCpuQuota = 1 << 20;

/// CPUs, rounded up, that the cgroups listed in `groups_file` (as /proc/self/cgroup lists them) and
/// mounted under `root` leave to their members; kNoCpuQuota where nothing binds. Reads v1 and v2.
int cgroup_cpu_quota(const std::string& groups_file, const std::string& root);

}  // namespace nearfield::detail
