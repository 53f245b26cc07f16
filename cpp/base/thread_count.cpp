#include "base/thread_count.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

namespace nearfield::detail {
namespace {

constexpr int kUnlimited = kNoCpuQuota;

std::optional<long long> parse(std::string_view text) {
    long long value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || stop != end) {
        return std::nullopt;
    }
    return value;
}

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/// CPUs that `quota` microseconds per `period` pay for; no or negative quota means no limit.
int cpus_of_quota(std::optional<long long> quota, std::optional<long long> period) {
    if (!quota || !period || *quota <= 0 || *period <= 0) {
        return kUnlimited;
    }
    const long long cpus = *quota / *period + (*quota % *period != 0 ? 1 : 0);
    return static_cast<int>(std::min<long long>(cpus, kUnlimited));
}

/// The quota of one cgroup folder: cpu.max holds "quota period" (v2), v1 has one file for each.
int folder_quota(const std::string& folder) {
    const std::string both = first_line(folder + "/cpu.max");
    if (const auto space = both.find(' '); space != std::string::npos) {
        return cpus_of_quota(parse(std::string_view(both).substr(0, space)),
                             parse(std::string_view(both).substr(space + 1)));
    }
    return cpus_of_quota(parse(first_line(folder + "/cpu.cfs_quota_us")),
                         parse(first_line(folder + "/cpu.cfs_period_us")));
}

/// The least quota of a cgroup and all its parents, each of which also binds.
int least_quota(const std::string& root, std::string path) {
    int least = folder_quota(root);
    while (!path.empty() && path != "/") {
        least = std::min(least, folder_quota(root + path));
        path.erase(path.rfind('/'));
    }
    return least;
}

bool lists_cpu(std::string_view controllers) {
    const std::string padded = "," + std::string(controllers) + ",";
    return padded.find(",cpu,") != std::string::npos;
}

int affinity_count() {
#ifdef __linux__
    constexpr int kMostCpus = 1 << 16;  // the kernel refuses sets smaller than its own
    for (int cpus = CPU_SETSIZE; cpus <= kMostCpus; cpus *= 2) {
        cpu_set_t* const set = CPU_ALLOC(static_cast<std::size_t>(cpus));
        if (set == nullptr) {
            break;
        }
        const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(cpus));
        const bool known = ::sched_getaffinity(0, bytes, set) == 0;
        const int count = known ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (known) {
            return std::max(count, 1);
        }
    }
#endif
    return kUnlimited;
}

}  // namespace

int cgroup_cpu_quota(const std::string& groups_file, const std::string& root) {
    std::ifstream groups(groups_file);
    int least = kUnlimited;
    // Lines read "id:controllers:path"; controllers are empty for v2.
    for (std::string line; std::getline(groups, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos ||
            second + 1 >= line.size() || line[second + 1] != '/') {
            continue;
        }
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string path = line.substr(second + 1);
        if (controllers.empty()) {
            least = std::min(least, least_quota(root, path));
        } else if (lists_cpu(controllers)) {
            least = std::min({least, least_quota(root + "/" + controllers, path),
                              least_quota(root + "/cpu", path)});
        }
    }
    return least;
}

int default_thread_count(int limit) {
    const char* const wish = std::getenv("NEARFIELD_NUM_THREADS");
    if (wish != nullptr && *wish != '\0') {
        const std::optional<long long> threads = parse(wish);
        if (!threads || *threads < 1 || *threads > limit) {
            throw std::invalid_argument("NEARFIELD_NUM_THREADS is \"" + std::string(wish) +
                                        "\"; set it to a whole number from 1 to " +
                                        std::to_string(limit) + " or unset it");
        }
        return static_cast<int>(*threads);
    }
    const auto hardware = static_cast<int>(std::thread::hardware_concurrency());
    const int allowed =
        std::min(affinity_count(), cgroup_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup"));
    return std::clamp(std::min(allowed, hardware > 0 ? hardware : kUnlimited), 1, limit);
}

}  // namespace nearfield::detail
