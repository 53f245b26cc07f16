// Files in: a read-only mapping or one plain read, over a table of system calls.
//
// Idea: all I/O of the library goes through IoCalls, so that a test can fail the n-th call for
// every n. Interrupted calls are repeated, short ones continued. Only regular files are opened: a
// directory, FIFO or device is refused at once, never waited for.
// Source: own.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace nearfield::io {

/// The system calls in use, each as in POSIX (-1 and errno on failure).
struct IoCalls {
    int (*open)(const char* path, int flags, mode_t mode);
    int (*close)(int fd);
    ssize_t (*read)(int fd, void* data, size_t size);
    ssize_t (*write)(int fd, const void* data, size_t size);
    int (*fsync)(int fd);
    int (*fstat)(int fd, struct stat* status);
    int (*fchmod)(int fd, mode_t mode);
    int (*flock)(int fd, int operation);
    int (*dup)(int fd);
    int (*rename)(const char* from, const char* to);
    int (*unlink)(const char* path);
    void* (*mmap)(void* address, size_t size, int protection, int flags, int fd, off_t offset);
};

/// The table in use.
const IoCalls& io_calls() noexcept;
/// The operating system's own.
const IoCalls& system_calls() noexcept;
/// Puts another table in place (null: the system's own); it must outlive its use. For tests.
void set_io_calls(const IoCalls* calls) noexcept;

/// Throws IoError with "cannot <action> <path>: <meaning of code>".
[[noreturn]] void throw_io_error(int code, const std::string& action, const std::string& path);
/// Throws std::invalid_argument for a path that is empty or holds a NUL byte.
void check_path(const std::string& path);

/// An open file; closed on destruction.
class File {
public:
    File() = default;
    explicit File(int fd) noexcept : fd_(fd) {}
    File(File&& other) noexcept : fd_(other.release()) {}
    File& operator=(File&& other) noexcept;
    ~File() { close(); }

    /// Opens a regular file for reading. Throws IoError.
    static File open_regular(const std::string& path);
    /// open(2) repeated while interrupted; not open, with errno set, on failure.
    static File open_any(const std::string& path, int flags, mode_t mode) noexcept;

    bool is_open() const noexcept { return fd_ >= 0; }
    int fd() const noexcept { return fd_; }
    void close() noexcept;

    /// Throws IoError naming `path`.
    struct stat status(const std::string& path) const;
    /// Fills `out` from the current position. Throws IoError; CorruptFile when the file ends first.
    void read_exactly(std::span<std::byte> out, const std::string& path) const;

private:
    int release() noexcept;

    int fd_ = -1;
};

/// A whole file mapped read-only. Replacing the file by rename leaves the mapping as it is;
/// changing it in place does not, and shortening it makes later access a SIGBUS.
class Mapping {
public:
    /// Takes over `file`, which is `path` open for reading. Throws IoError.
    Mapping(File file, const std::string& path);
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();

    std::span<const std::byte> bytes() const noexcept {
        return {static_cast<const std::byte*>(address_), size_};
    }
    /// Whether size and modification time are still those at the time of mapping.
    bool unchanged() const noexcept;

private:
    File file_;
    void* address_ = nullptr;
    std::size_t size_ = 0;
    struct timespec modified_{};
};

}  // namespace nearfield::io
