#include "io/mapping.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace nearfield::io {
namespace {

// Linux moves at most 0x7ffff000 bytes per call; a smaller round number also bounds the time in
// which a call cannot be interrupted.
constexpr std::size_t kMaxTransfer = std::size_t{1} << 30;

constexpr IoCalls kSystemCalls = {
    .open = [](const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); },
    .close = [](int fd) { return ::close(fd); },
    .read = [](int fd, void* data, size_t size) { return ::read(fd, data, size); },
    .write = [](int fd, const void* data, size_t size) { return ::write(fd, data, size); },
    .fsync = [](int fd) { return ::fsync(fd); },
    .fstat = [](int fd, struct stat* status) { return ::fstat(fd, status); },
    .fchmod = [](int fd, mode_t mode) { return ::fchmod(fd, mode); },
    .flock = [](int fd, int operation) { return ::flock(fd, operation); },
    .dup = [](int fd) { return ::fcntl(fd, F_DUPFD_CLOEXEC, 0); },
    .rename = [](const char* from, const char* to) { return std::rename(from, to); },
    .unlink = [](const char* path) { return ::unlink(path); },
    .mmap = [](void* address, size_t size, int protection, int flags, int fd,
               off_t offset) { return ::mmap(address, size, protection, flags, fd, offset); },
};

std::atomic<const IoCalls*> current_calls{&kSystemCalls};

}  // namespace

const IoCalls& io_calls() noexcept { return *current_calls.load(std::memory_order_acquire); }

const IoCalls& system_calls() noexcept { return kSystemCalls; }

void set_io_calls(const IoCalls* calls) noexcept {
    current_calls.store(calls != nullptr ? calls : &kSystemCalls, std::memory_order_release);
}

void throw_io_error(int code, const std::string& action, const std::string& path) {
    const std::string message =
        "cannot " + action + " '" + path + "': " + std::generic_category().message(code);
    throw IoError(code, message.c_str(), path.c_str());
}

void check_path(const std::string& path) {
    if (path.empty()) {
        throw std::invalid_argument("the path is empty; give the name of a file");
    }
    if (path.find('\0') != std::string::npos) {
        throw std::invalid_argument("the path holds a NUL byte; no file name can");
    }
}

File& File::operator=(File&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = other.release();
    }
    return *this;
}

int File::release() noexcept { return std::exchange(fd_, -1); }

void File::close() noexcept {
    if (is_open()) {
        // Not repeated after EINTR: on Linux the descriptor is gone by then.
        io_calls().close(release());
    }
}

File File::open_any(const std::string& path, int flags, mode_t mode) noexcept {
    int fd;
    do {
        fd = io_calls().open(path.c_str(), flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return File(fd);
}

File File::open_regular(const std::string& path) {
    check_path(path);
    // O_NONBLOCK: a FIFO without a writer would otherwise block in open itself.
    File file = open_any(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (!file.is_open()) {
        throw_io_error(errno, "open", path);
    }
    const struct stat status = file.status(path);
    if (S_ISDIR(status.st_mode)) {
        throw_io_error(EISDIR, "open", path);
    }
    if (!S_ISREG(status.st_mode)) {
        throw_io_error(EINVAL, "open (expected a regular file, got a device, pipe or socket)",
                       path);
    }
    return file;
}

struct stat File::status(const std::string& path) const {
    struct stat status{};
    if (io_calls().fstat(fd_, &status) != 0) {
        throw_io_error(errno, "examine", path);
    }
    return status;
}

void File::read_exactly(std::span<std::byte> out, const std::string& path) const {
    const std::size_t wanted = out.size();
    while (!out.empty()) {
        const ssize_t got = io_calls().read(fd_, out.data(), std::min(out.size(), kMaxTransfer));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            throw_io_error(errno, "read", path);
        }
        if (got == 0) {
            throw CorruptFile("'" + path + "' ended " + std::to_string(out.size()) +
                              " bytes early of " + std::to_string(wanted) +
                              ": it was shortened while being read; save it again");
        }
        out = out.subspan(static_cast<std::size_t>(got));
    }
}

Mapping::Mapping(File file, const std::string& path) : file_(std::move(file)) {
    const struct stat status = file_.status(path);
    size_ = static_cast<std::size_t>(status.st_size);
    modified_ = status.st_mtim;
    if (size_ == 0) {
        return;  // mmap refuses an empty range
    }
    void* address = io_calls().mmap(nullptr, size_, PROT_READ, MAP_SHARED, file_.fd(), 0);
    if (address == MAP_FAILED) {
        throw_io_error(errno, "map " + std::to_string(size_) + " bytes of", path);
    }
    address_ = address;
}

Mapping::~Mapping() {
    if (address_ != nullptr) {
        ::munmap(address_, size_);
    }
}

bool Mapping::unchanged() const noexcept {
    struct stat status{};
    return io_calls().fstat(file_.fd(), &status) == 0 &&
           static_cast<std::size_t>(status.st_size) == size_ &&
           status.st_mtim.tv_sec == modified_.tv_sec && status.st_mtim.tv_nsec == modified_.tv_nsec;
}

}  // namespace nearfield::io
