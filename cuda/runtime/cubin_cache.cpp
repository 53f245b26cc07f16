#include "cuda/runtime/cubin_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <vector>

#include "io/replace_file.h"

namespace nearfield::cuda {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "nfcubin1";
constexpr std::size_t kHeader = kMagic.size() + 2 * sizeof(Digest);

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

std::string_view view(const Digest& digest) {
    return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// Only this user may have written it.
bool is_own(const std::string& path) {
    struct stat status{};
    return lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
           status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

}  // namespace

CubinCache::CubinCache(std::string folder, std::uintmax_t most_bytes)
    : folder_(std::move(folder)), most_bytes_(most_bytes) {}

CubinCache CubinCache::usual() {
    if (const std::string own = variable("NEARFIELD_CACHE"); !own.empty()) return CubinCache(own);
    // The specification has relative paths ignored.
    if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty() && xdg[0] == '/') {
        return CubinCache(xdg + "/nearfield");
    }
    const std::string home = variable("HOME");
    return CubinCache(home.empty() ? "" : home + "/.cache/nearfield");
}

std::string CubinCache::path_of(const Digest& key) const {
    return folder_ + "/" + hex(key) + ".cubin";
}

std::optional<std::string> CubinCache::find(const Digest& key) const {
    if (folder_.empty()) return std::nullopt;
    const std::string path = path_of(key);
    if (!is_own(path)) return std::nullopt;
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const std::string_view all = text;
    if (all.size() <= kHeader || all.substr(0, kMagic.size()) != kMagic) return std::nullopt;
    const std::string_view cubin = all.substr(kHeader);
    if (all.substr(kMagic.size(), sizeof(Digest)) != view(key)) return std::nullopt;
    if (all.substr(kMagic.size() + sizeof(Digest), sizeof(Digest)) != view(sha256(cubin))) {
        return std::nullopt;
    }
    std::error_code ignored;
    fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
    return std::string(cubin);
}

void CubinCache::keep(const Digest& key, std::string_view cubin) const noexcept {
    if (folder_.empty()) return;
    try {
        fs::create_directories(folder_);
        const Digest check = sha256(cubin);
        const std::array<std::span<const std::byte>, 4> pieces = {bytes(kMagic), bytes(view(key)),
                                                                  bytes(view(check)), bytes(cubin)};
        const std::string path = path_of(key);
        // What lies there is no hit; its mode bits would pass on to the new file.
        std::error_code ignored;
        fs::remove(path, ignored);
        io::replace_file(path, pieces, false);
        fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write, ignored);
        shrink(path);
    } catch (const std::exception&) {
        // A full or read-only disk costs a compilation next time, no more.
    }
}

void CubinCache::shrink(const std::string& newest) const {
    struct Entry {
        fs::file_time_type used;
        std::uintmax_t size;
        fs::path path;
    };
    std::vector<Entry> entries;
    std::uintmax_t total = 0;
    std::error_code ignored;
    for (fs::directory_iterator at(folder_, ignored), end; !ignored && at != end;
         at.increment(ignored)) {
        if (at->path().extension() != ".cubin") continue;
        std::error_code gone;
        const auto size = at->file_size(gone);
        const auto used = at->last_write_time(gone);
        if (gone) continue;  // another process shrinks the folder too
        total += size;
        entries.push_back({used, size, at->path()});
    }
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.used < b.used; });
    for (const Entry& entry : entries) {
        if (total <= most_bytes_) return;
        if (entry.path == newest) continue;
        fs::remove(entry.path, ignored);
        total -= entry.size;
    }
}

}  // namespace nearfield::cuda
