// How many threads this process may run at once.
#pragma once

namespace nearfield::detail {

/// NEARFIELD_NUM_THREADS if it is set and not empty (std::invalid_argument if it is no number in
/// [1, limit]), else the least of the hardware's threads, the affinity mask and the cgroup CPU
/// quota rounded up. In [1, limit].
int default_thread_count(int limit);

}  // namespace nearfield::detail
