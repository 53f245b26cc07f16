#include "base/thread_count.h"

#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "base/parallel.h"
#include "check.h"

using nearfield::detail::default_thread_count;

namespace {

/// A cgroup tree in a temporary folder.
class Groups {
public:
    explicit Groups(const std::string& membership)
        : root_(std::filesystem::temp_directory_path() /
                ("nearfield-cgroup-" + std::to_string(::getpid()))) {
        put("membership", membership);
    }
    ~Groups() { std::filesystem::remove_all(root_); }
    void put(const std::string& file, const std::string& text) const {
        const std::filesystem::path path = root_ / file;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << text << "\n";
    }
    int quota() const {
        return nearfield::detail::cgroup_cpu_quota((root_ / "membership").string(), root_.string());
    }

private:
    std::filesystem::path root_;
};

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

TEST(the_quota_of_a_cgroup_and_its_parents_binds) {
    const Groups groups("0::/pod/box");
    CHECK_EQ(groups.quota(), nearfield::detail::kNoCpuQuota);
    groups.put("pod/box/cpu.max", "max 100000");
    CHECK_EQ(groups.quota(), nearfield::detail::kNoCpuQuota);
    groups.put("pod/cpu.max", "250000 100000");
    CHECK_EQ(groups.quota(), 3);
    groups.put("pod/box/cpu.max", "50000 100000");
    CHECK_EQ(groups.quota(), 1);
    groups.put("pod/box/cpu.max", "nonsense");
    groups.put("pod/cpu.max", "0 0");
    groups.put("cpu.max", "700000 100000");
    CHECK_EQ(groups.quota(), 7);
}

TEST(the_quota_of_old_cgroups_binds) {
    const Groups groups("5:memory:/pod\n3:cpu,cpuacct:/pod\nnot a group");
    CHECK_EQ(groups.quota(), nearfield::detail::kNoCpuQuota);
    groups.put("cpu,cpuacct/cpu.cfs_quota_us", "-1");
    groups.put("cpu,cpuacct/cpu.cfs_period_us", "100000");
    CHECK_EQ(groups.quota(), nearfield::detail::kNoCpuQuota);
    groups.put("cpu,cpuacct/pod/cpu.cfs_quota_us", "150000");
    groups.put("cpu,cpuacct/pod/cpu.cfs_period_us", "100000");
    CHECK_EQ(groups.quota(), 2);
    groups.put("cpu/cpu.cfs_quota_us", "90000");
    groups.put("cpu/cpu.cfs_period_us", "100000");
    CHECK_EQ(groups.quota(), 1);
}

TEST(no_cgroups_bind_nothing) {
    CHECK_EQ(nearfield::detail::cgroup_cpu_quota("/no/such/file", "/no/such/folder"),
             nearfield::detail::kNoCpuQuota);
}
