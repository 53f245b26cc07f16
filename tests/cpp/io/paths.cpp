// Paths that are not plain files in plain directories: each is handled or refused at once, and the
// litter of dead saves goes with the next save.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "check.h"
#include "sample.h"

using namespace nearfield;
using namespace nearfield::io;
namespace fs = std::filesystem;

namespace {

int io_code(auto&& work) {
    try {
        work();
    } catch (const IoError& error) {
        return error.code;
    }
    return 0;
}

int load_code(const std::string& path) {
    int code = 0;
    for (const bool mmap : {false, true}) {
        const auto begin = std::chrono::steady_clock::now();
        code = io_code([&] { Archive::open(path, mmap, true); });
        CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(100));
    }
    return code;
}

int save_code(const std::string& path) {
    return io_code([&] { Sample().writer.save(path, true); });
}

mode_t mode_of(const std::string& path) {
    struct stat status{};
    CHECK_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 07777;
}

bool holds_sample(const std::string& path) { return read_file(path) == Sample().bytes(); }

}  // namespace

TEST(things_that_are_no_regular_file) {
    const ScratchDirectory scratch;
    CHECK_EQ(::mkfifo((scratch / "fifo").c_str(), 0600), 0);
    fs::create_symlink("loop", scratch / "loop");
    CHECK_EQ(load_code(scratch.path()), EISDIR);
    CHECK_EQ(load_code(scratch / "fifo"), EINVAL);
    CHECK_EQ(load_code("/dev/zero"), EINVAL);
    CHECK_EQ(load_code(scratch / "loop"), ELOOP);
    CHECK_EQ(load_code(scratch / "absent"), ENOENT);
    CHECK_EQ(load_code(scratch / "fifo/below"), ENOTDIR);
    CHECK_EQ(load_code(scratch / std::string(256, 'x')), ENAMETOOLONG);
    CHECK_EQ(save_code(scratch.path()), EISDIR);
    CHECK_EQ(save_code(scratch / ""), EISDIR);
    CHECK_EQ(save_code(scratch / "."), EISDIR);
    CHECK_EQ(save_code(scratch / "fifo"), EINVAL);
    CHECK_EQ(save_code("/dev/full"), EINVAL);
    CHECK_EQ(save_code(scratch / "loop"), ELOOP);
    CHECK_EQ(save_code(scratch / "absent/a"), ENOENT);
    CHECK_EQ(save_code(scratch / std::string(256, 'x')), ENAMETOOLONG);
    CHECK_EQ(scratch.entries(), std::size_t{2});
    CHECK_THROWS(std::invalid_argument, save_code(""));
    CHECK_THROWS(std::invalid_argument, load_code(""));
    CHECK_THROWS(std::invalid_argument, save_code(scratch / std::string("a\0b", 3)));
    CHECK_THROWS(std::invalid_argument, load_code(scratch / std::string("a\0b", 3)));
}

TEST(files_of_another_kind) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "a";
    for (const std::size_t size : {0u, 1u, 63u, 64u, 5000u}) {
        write_file(path, Bytes(size, 'x'));
        for (const bool mmap : {false, true}) {
            CHECK_THROWS(CorruptFile, Archive::open(path, mmap, true));
        }
    }
    // Far larger than memory: refused by its header, before anything of its size is allocated.
    fs::resize_file(path, std::uintmax_t{1} << 40);
    CHECK_THROWS(CorruptFile, Archive::open(path, false, true));
    CHECK_THROWS(CorruptFile, Archive::open(path, true, true));
}

TEST(odd_names_work) {
    const ScratchDirectory scratch;
    for (const std::string& name :
         {std::string(255, 'x'), std::string("\xff\xfe\n \t"), std::string("%s%n"),
          std::string(".hidden"), std::string("..."), std::string("-rf"), std::string("a.nftmp")}) {
        CHECK_EQ(save_code(scratch / name), 0);
        CHECK_EQ(save_code(scratch / name), 0);
        CHECK(holds_sample(scratch / name));
        CHECK_EQ(load_code(scratch / name), 0);
        fs::remove(scratch / name);
        CHECK_EQ(scratch.entries(), std::size_t{0});
    }
}

TEST(relative_paths_work) {
    const ScratchDirectory scratch;
    const fs::path before = fs::current_path();
    fs::current_path(scratch.path());
    const int code = save_code("plain");
    fs::current_path(before);
    CHECK_EQ(code, 0);
    CHECK(holds_sample(scratch / "plain"));
}

TEST(links_stay_links) {
    const ScratchDirectory scratch;
    fs::create_directory(scratch / "target");
    fs::create_directory(scratch / "links");
    fs::create_symlink("../target/file", scratch / "links/one");  // dangling at first
    fs::create_symlink(scratch / "links/one", scratch / "links/two");
    for (int round = 0; round < 2; ++round) {
        CHECK_EQ(save_code(scratch / "links/two"), 0);
        CHECK(fs::is_symlink(scratch / "links/one") && fs::is_symlink(scratch / "links/two"));
        CHECK(!fs::is_symlink(scratch / "target/file"));
        CHECK(holds_sample(scratch / "target/file"));
        CHECK_EQ(load_code(scratch / "links/two"), 0);
    }
    CHECK_EQ(static_cast<int>(std::distance(fs::directory_iterator(scratch / "target"), {})), 1);
}

TEST(mode_bits_are_kept) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "a";
    const mode_t mask = ::umask(027);
    CHECK_EQ(save_code(path), 0);
    ::umask(mask);
    CHECK_EQ(mode_of(path), mode_t{0640});
    for (const mode_t mode : {0600, 0664, 0400, 0777}) {
        CHECK_EQ(::chmod(path.c_str(), mode), 0);
        CHECK_EQ(save_code(path), 0);
        CHECK_EQ(mode_of(path), mode);
    }
}

TEST(leftovers_of_dead_saves_go_with_the_next) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "a";
    const std::string own = std::to_string(::getpid());
    const std::vector<std::string> dead = {".a.999999999.nftmp", ".a.999999999-3.nftmp",
                                           ".a." + own + "-0.nftmp", ".a." + own + ".nftmp"};
    const std::vector<std::string> foreign = {".ab.999999999.nftmp", ".a.x.nftmp", "a.1.nftmp",
                                              ".a.1.nftmp2", ".a..nftmp"};
    for (const auto& list : {dead, foreign}) {
        for (const std::string& name : list) {
            write_file(scratch / name, Bytes(10));
        }
    }
    const std::string live = scratch / ".a.1-7.nftmp";  // held by a live writer: locked
    const int fd = ::open(live.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    CHECK_EQ(::flock(fd, LOCK_EX), 0);
    CHECK_EQ(save_code(path), 0);
    CHECK(fs::exists(live));
    ::close(fd);
    for (const std::string& name : dead) {
        CHECK(!fs::exists(scratch / name));
    }
    for (const std::string& name : foreign) {
        CHECK(fs::exists(scratch / name));
    }
    CHECK_EQ(save_code(path), 0);
    CHECK(!fs::exists(live));
}

TEST(savers_and_readers_of_one_path) {
    const ScratchDirectory scratch;
    const std::string path = scratch / "a";
    const Sample samples[] = {Sample(5, 3, 1), Sample(70, 17, 2), Sample(40, 9, 3)};
    samples[0].writer.save(path, false);
    std::atomic<int> saving{3};
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    for (const Sample& sample : samples) {
        threads.emplace_back([&] {
            for (int round = 0; round < 200; ++round) {
                failures += io_code([&] { sample.writer.save(path, false); }) != 0;
            }
            --saving;
        });
    }
    std::size_t reads = 0;
    while (saving > 0 || reads < 10) {
        touch(Archive::open(path, reads % 2 == 0, true));
        ++reads;
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK_EQ(failures.load(), 0);
    CHECK_EQ(scratch.entries(), std::size_t{1});
}
