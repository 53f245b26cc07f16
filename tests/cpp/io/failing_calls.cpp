// Every system call of a save and of a load fails in turn, once and for several reasons: the old
// file stays whole, nothing is left behind, the error names the path. Also short transfers and
// interruptions, which must not be noticed at all.
#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <functional>

#include "check.h"
#include "io/mapping.h"
#include "sample.h"

using namespace nearfield;
using namespace nearfield::io;

namespace {

int calls_until_failure = -1;  // the call that finds 0 here fails
int failure = EIO;
int calls_seen = 0;
bool dribble = false;  // short transfers, every other one interrupted
std::vector<std::string> trace;

bool fails(const char* name) {
    ++calls_seen;
    trace.emplace_back(name);
    if (calls_until_failure-- != 0) {
        return false;
    }
    errno = failure;
    return true;
}

std::size_t portion(std::size_t size) {
    if (!dribble) {
        return size;
    }
    return std::min<std::size_t>(size, 1 + static_cast<std::size_t>(calls_seen) % 97);
}

bool interrupted() {
    errno = EINTR;
    return dribble && calls_seen % 2 == 0;
}

const IoCalls kFaulty = {
    .open =
        [](const char* path, int flags, mode_t mode) {
            return fails("open") || interrupted() ? -1 : system_calls().open(path, flags, mode);
        },
    // A close that fails has closed all the same.
    .close =
        [](int fd) {
            const bool failed = fails("close");
            system_calls().close(fd);
            errno = failure;
            return failed ? -1 : 0;
        },
    .read =
        [](int fd, void* data, size_t size) {
            return fails("read") || interrupted() ? -1
                                                  : system_calls().read(fd, data, portion(size));
        },
    .write =
        [](int fd, const void* data, size_t size) {
            return fails("write") || interrupted() ? -1
                                                   : system_calls().write(fd, data, portion(size));
        },
    .fsync = [](int fd) { return fails("fsync") || interrupted() ? -1 : system_calls().fsync(fd); },
    .fstat =
        [](int fd, struct stat* status) {
            return fails("fstat") ? -1 : system_calls().fstat(fd, status);
        },
    .fchmod = [](int fd,
                 mode_t mode) { return fails("fchmod") ? -1 : system_calls().fchmod(fd, mode); },
    .flock =
        [](int fd, int operation) {
            return fails("flock") ? -1 : system_calls().flock(fd, operation);
        },
    .dup = [](int fd) { return fails("dup") ? -1 : system_calls().dup(fd); },
    .rename = [](const char* from,
                 const char* to) { return fails("rename") ? -1 : system_calls().rename(from, to); },
    .unlink = [](const char* path) { return fails("unlink") ? -1 : system_calls().unlink(path); },
    .mmap =
        [](void* address, size_t size, int protection, int flags, int fd, off_t offset) {
            return fails("mmap")
                       ? MAP_FAILED
                       : system_calls().mmap(address, size, protection, flags, fd, offset);
        },
};

// Runs `work` with call number n failing; -1 for none. True when it threw IoError.
bool run_with_failure(int n, int code, const std::function<void()>& work, const std::string& path) {
    calls_until_failure = n;
    failure = code;
    calls_seen = 0;
    trace.clear();
    set_io_calls(&kFaulty);
    bool threw = false;
    try {
        work();
    } catch (const IoError& error) {
        threw = true;
        CHECK(error.path == path);
        CHECK(error.code == code);
        CHECK(std::string(error.what()).find(path) != std::string::npos);
    } catch (...) {
        set_io_calls(nullptr);
        throw;
    }
    set_io_calls(nullptr);
    return threw;
}

std::size_t open_descriptors() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

// The last fsync of a durable save is that of the directory, after the rename.
bool failed_after_rename(int n) {
    const auto failed = trace.begin() + n;
    return std::find(trace.begin(), failed, "rename") != failed;
}

void fail_every_call_of_a_save(bool durable, bool exists) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "index.nf";
    const Sample old_sample(20, 4, 1);
    const Sample new_sample(70, 17, 2);
    const auto save = [&] { new_sample.writer.save(path, durable); };
    CHECK(!run_with_failure(-1, EIO, save, path));
    const int calls = calls_seen;
    CHECK(calls >= 8);
    const std::size_t descriptors = open_descriptors();
    for (const int code : {EIO, ENOSPC, EDQUOT, EROFS, EACCES}) {
        for (int n = 0; n < calls + 2; ++n) {
            std::filesystem::remove(path);
            if (exists) {
                old_sample.writer.save(path, false);
            }
            const Bytes before = read_file(path);
            const bool threw = run_with_failure(n, code, save, path);
            const Bytes expected = threw && !failed_after_rename(n) ? before : new_sample.bytes();
            CHECK(read_file(path) == expected);
            CHECK_EQ(scratch.entries(), (std::size_t{expected.empty() ? 0u : 1u}));
            CHECK_EQ(open_descriptors(), descriptors);
        }
    }
}

}  // namespace

TEST(every_call_of_a_durable_save_over_a_file) { fail_every_call_of_a_save(true, true); }
TEST(every_call_of_a_durable_save_of_a_new_file) { fail_every_call_of_a_save(true, false); }
TEST(every_call_of_a_quick_save_over_a_file) { fail_every_call_of_a_save(false, true); }
TEST(every_call_of_a_quick_save_of_a_new_file) { fail_every_call_of_a_save(false, false); }

TEST(calls_whose_failure_matters_throw) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "index.nf";
    const Sample sample;
    const auto save = [&] { sample.writer.save(path, true); };
    save();
    run_with_failure(-1, EIO, save, path);
    const std::vector<std::string> calls = trace;
    for (std::size_t n = 0; n < calls.size(); ++n) {
        const bool threw = run_with_failure(static_cast<int>(n), EIO, save, path);
        // Closing after a sync loses nothing; a file system may have no locks.
        CHECK(threw == (calls[n] != "close" && calls[n] != "flock"));
    }
}

TEST(order_of_a_durable_save) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "index.nf";
    const Sample sample;
    const auto save = [&] { sample.writer.save(path, true); };
    save();
    run_with_failure(-1, EIO, save, path);
    std::vector<std::string> calls = trace;
    std::erase(calls, "write");
    const std::vector<std::string> expected = {"open",  "open",   "flock", "fstat", "fchmod",
                                               "fsync", "rename", "fsync", "close", "close"};
    CHECK(calls == expected);
}

TEST(every_call_of_a_load) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "index.nf";
    Sample().writer.save(path, false);
    const std::size_t descriptors = open_descriptors();
    for (const bool mmap : {false, true}) {
        const auto load = [&] { touch(Archive::open(path, mmap, true)); };
        CHECK(!run_with_failure(-1, EIO, load, path));
        const int calls = calls_seen;
        for (int n = 0; n < calls; ++n) {
            const bool threw = run_with_failure(n, EIO, load, path);
            CHECK(threw == (trace[static_cast<std::size_t>(n)] != "close"));
            CHECK_EQ(open_descriptors(), descriptors);
        }
    }
}

TEST(short_and_interrupted_calls_go_unnoticed) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "index.nf";
    const Sample sample;
    dribble = true;
    CHECK(!run_with_failure(-1, EIO, [&] { sample.writer.save(path, true); }, path));
    CHECK(read_file(path) == sample.bytes());
    CHECK(!run_with_failure(-1, EIO, [&] { touch(Archive::open(path, false, true)); }, path));
    dribble = false;
    CHECK(calls_seen > 200);
}

TEST(a_full_disk_says_how_much_was_needed) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "index.nf";
    const Sample sample;
    static IoCalls full = system_calls();
    full.write = [](int, const void*, size_t) -> ssize_t { return errno = ENOSPC, -1; };
    set_io_calls(&full);
    try {
        sample.writer.save(path, true);
        set_io_calls(nullptr);
        CHECK(false);
    } catch (const IoError& error) {
        set_io_calls(nullptr);
        CHECK_EQ(error.code, ENOSPC);
        const std::string bytes = std::to_string(sample.writer.bytes());
        CHECK(std::string(error.what()).find(bytes) != std::string::npos);
    }
    CHECK_EQ(scratch.entries(), std::size_t{0});
}

TEST(a_temporary_is_never_more_readable_than_its_target) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "index.nf";
    const Sample sample;
    sample.writer.save(path, false);
    std::filesystem::permissions(path, std::filesystem::perms{0600});
    static mode_t widest = 0;
    static IoCalls watching = system_calls();
    watching.open = [](const char* name, int flags, mode_t mode) {
        widest |= (flags & O_CREAT) != 0 ? mode : 0;
        return system_calls().open(name, flags, mode);
    };
    set_io_calls(&watching);
    sample.writer.save(path, true);
    set_io_calls(nullptr);
    CHECK_EQ(widest, mode_t{0600});
}
