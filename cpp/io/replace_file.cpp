#include "io/replace_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "io/crc32c.h"
#include "io/mapping.h"

namespace nearfield::io {
namespace {

constexpr std::size_t kMaxTransfer = std::size_t{1} << 30;
constexpr std::string_view kSuffix = ".nftmp";
constexpr int kMaxLinks = 40;  // as the kernel's own limit

struct Target {
    std::string directory;
    std::string name;

    std::string in_directory(const std::string& file) const {
        return directory == "/" ? "/" + file : directory + "/" + file;
    }
    std::string path() const { return in_directory(name); }
};

Target split(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) {
        return {".", path};
    }
    return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

std::optional<std::string> read_link(const std::string& path) {
    char text[PATH_MAX];
    const ssize_t length = ::readlink(path.c_str(), text, sizeof text);
    return length < 0 ? std::nullopt
                      : std::optional(std::string(text, static_cast<std::size_t>(length)));
}

// Where the bytes shall lie: `path` with symbolic links of its last part followed, so that a link
// stays a link. The file itself need not exist.
Target resolve(const std::string& path) {
    check_path(path);
    Target target = split(path);
    for (int links = 0; const auto text = read_link(target.path()); ++links) {
        if (links == kMaxLinks) {
            throw_io_error(ELOOP, "save", path);
        }
        target = split(text->starts_with('/') ? *text : target.in_directory(*text));
    }
    if (target.name.empty() || target.name == "." || target.name == "..") {
        throw_io_error(EISDIR, "save", path);
    }
    return target;
}

// Status of the file to be replaced, if there is one. Only a regular file may be.
std::optional<struct stat> status_of_old(const Target& target, const std::string& path) {
    struct stat status{};
    if (::lstat(target.path().c_str(), &status) != 0) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        throw_io_error(errno, "save", path);
    }
    if (S_ISDIR(status.st_mode)) {
        throw_io_error(EISDIR, "save", path);
    }
    if (!S_ISREG(status.st_mode)) {
        throw_io_error(EINVAL, "save over a device, pipe or socket", path);
    }
    return status;
}

// ".<name>." begins the name of every temporary for a target. A name too long to be extended is
// shortened and told apart by its checksum.
std::string temporary_prefix(const std::string& name) {
    constexpr std::size_t kRoom = 48;  // pid, counter, suffix, dots
    if (name.size() + kRoom <= NAME_MAX) {
        return "." + name + ".";
    }
    char checksum[12];
    std::snprintf(checksum, sizeof checksum, "~%08x", crc32c(name.data(), name.size()));
    return "." + name.substr(0, NAME_MAX - kRoom - 16) + checksum + ".";
}

bool is_temporary(std::string_view file, std::string_view prefix) {
    if (file.size() <= prefix.size() + kSuffix.size() || !file.starts_with(prefix) ||
        !file.ends_with(kSuffix)) {
        return false;
    }
    file.remove_prefix(prefix.size());
    file.remove_suffix(kSuffix.size());
    return std::all_of(file.begin(), file.end(),
                       [](char c) { return (c >= '0' && c <= '9') || c == '-'; });
}

// Removes a temporary unless a live writer holds its lock. Failures do not matter: the next save
// tries again.
void remove_if_dead(const std::string& path) noexcept {
    const File file = File::open_any(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    struct stat status{};
    if (file.is_open() && io_calls().fstat(file.fd(), &status) == 0 && S_ISREG(status.st_mode) &&
        io_calls().flock(file.fd(), LOCK_EX | LOCK_NB) == 0) {
        io_calls().unlink(path.c_str());
    }
}

void remove_leftovers(const Target& target, const std::string& prefix) {
    const auto close = [](DIR* directory) { ::closedir(directory); };
    const std::unique_ptr<DIR, decltype(close)> directory(::opendir(target.directory.c_str()),
                                                          close);
    if (directory == nullptr) {
        return;
    }
    while (const dirent* entry = ::readdir(directory.get())) {
        if (is_temporary(entry->d_name, prefix)) {
            remove_if_dead(target.in_directory(entry->d_name));
        }
    }
}

// A new locked file next to the target; removed on destruction unless it became the target.
class Temporary {
public:
    Temporary(const Target& target, const std::string& prefix, mode_t mode,
              const std::string& path) {
        static std::atomic<std::uint64_t> counter{0};
        // Names repeat only where process ids do; a handful of leftovers may be in the way.
        for (int attempt = 0; attempt < 1000; ++attempt) {
            path_ = target.in_directory(prefix + std::to_string(::getpid()) + "-" +
                                        std::to_string(counter++) + std::string(kSuffix));
            file_ = File::open_any(path_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
            if (!file_.is_open() && errno != EEXIST) {
                throw_io_error(errno, "create a temporary file to save", path);
            }
            if (file_.is_open() && lock_or_abandon(path)) {
                return;
            }
        }
        throw_io_error(EEXIST, "create a temporary file to save", path);
    }
    Temporary(const Temporary&) = delete;
    Temporary& operator=(const Temporary&) = delete;
    ~Temporary() {
        if (!path_.empty()) {
            io_calls().unlink(path_.c_str());
        }
    }

    const File& file() const noexcept { return file_; }

    // The lock is held until after the rename, by the destruction of the file.
    void rename_to(const std::string& target, const std::string& path) {
        if (io_calls().rename(path_.c_str(), target.c_str()) != 0) {
            throw_io_error(errno, "rename the temporary file to save", path);
        }
        path_.clear();
    }

private:
    // False when another process, cleaning up, took the file between its creation and the lock.
    // File systems without locks never clean up, so the lock may be missing there.
    bool lock_or_abandon(const std::string& path) {
        if (io_calls().flock(file_.fd(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            return false;
        }
        struct stat status{};
        if (io_calls().fstat(file_.fd(), &status) != 0) {
            const int code = errno;
            io_calls().unlink(path_.c_str());
            throw_io_error(code, "examine the temporary file to save", path);
        }
        return status.st_nlink > 0;
    }

    std::string path_;
    File file_;
};

void write_all(const File& file, std::span<const std::span<const std::byte>> pieces,
               const std::string& path) {
    std::uint64_t total = 0;
    for (const auto& piece : pieces) {
        total += piece.size();
    }
    std::uint64_t done = 0;
    for (auto rest : pieces) {
        while (!rest.empty()) {
            const ssize_t put =
                io_calls().write(file.fd(), rest.data(), std::min(rest.size(), kMaxTransfer));
            if (put < 0 && errno == EINTR) {
                continue;
            }
            if (put <= 0) {
                // No progress without an error is what a full device may look like.
                throw_io_error(put < 0 ? errno : ENOSPC,
                               "write " + std::to_string(total) + " bytes (stopped after " +
                                   std::to_string(done) + ") to save",
                               path);
            }
            done += static_cast<std::uint64_t>(put);
            rest = rest.subspan(static_cast<std::size_t>(put));
        }
    }
}

int sync(int fd) noexcept {
    int result;
    do {
        result = io_calls().fsync(fd);
    } while (result != 0 && errno == EINTR);
    return result;
}

// Network file systems report a failed write when a descriptor is closed; closing a duplicate
// asks for that report and keeps the lock.
void flush(const File& file, bool durable, const std::string& path) {
    if (durable) {
        if (sync(file.fd()) != 0) {
            throw_io_error(errno, "sync the temporary file to save", path);
        }
        return;
    }
    const int copy = io_calls().dup(file.fd());
    if (copy < 0 || (io_calls().close(copy) != 0 && errno != EINTR)) {
        throw_io_error(errno, "flush the temporary file to save", path);
    }
}

void keep_owner_and_mode(const File& file, const struct stat& old, const std::string& path) {
    // Only root may give files away, and a group one is not in cannot be kept: best effort.
    if (old.st_uid != ::geteuid() || old.st_gid != ::getegid()) {
        [[maybe_unused]] const int ignored = ::fchown(file.fd(), old.st_uid, old.st_gid);
    }
    if (io_calls().fchmod(file.fd(), old.st_mode & 0777) != 0) {
        throw_io_error(errno, "set the mode bits to save", path);
    }
}

}  // namespace

void replace_file(const std::string& path, std::span<const std::span<const std::byte>> pieces,
                  bool durable) {
    const Target target = resolve(path);
    const auto old = status_of_old(target, path);
    const std::string prefix = temporary_prefix(target.name);
    remove_leftovers(target, prefix);
    // Opened before anything is written: after the rename only the sync itself can still fail.
    File directory;
    if (durable) {
        directory = File::open_any(target.directory, O_RDONLY | O_DIRECTORY, 0);
        if (!directory.is_open()) {
            throw_io_error(errno, "open the directory to save", path);
        }
    }
    // Never more readable than the file it replaces, not even for a moment.
    Temporary temporary(target, prefix, old ? old->st_mode & 0777 : 0666, path);
    write_all(temporary.file(), pieces, path);
    if (old) {
        keep_owner_and_mode(temporary.file(), *old, path);
    }
    flush(temporary.file(), durable, path);
    temporary.rename_to(target.path(), path);
    // EINVAL: a file system that does not sync directories, so there is nothing to wait for.
    if (durable && sync(directory.fd()) != 0 && errno != EINVAL) {
        throw_io_error(errno,
                       "sync the directory (the new file is in place and complete, but may "
                       "not survive a power loss) of",
                       path);
    }
}

}  // namespace nearfield::io
