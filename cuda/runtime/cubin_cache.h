// CubinCache: compiled kernels on disk, so that a machine compiles each of them once.
//
// A file is named by the SHA-256 of everything it was made from and holds a digest of its contents: a
// file that is damaged, cut short or another's is no hit. Files appear whole (written beside, then
// renamed), so any number of processes may share a folder. Over the cap, the files used longest ago
// are removed.
// The folder: NEARFIELD_CACHE, else nearfield in XDG_CACHE_HOME, else in ~/.cache. Where it cannot be
// written nothing is kept, and nothing fails.
// Source: own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cuda/runtime/sha256.h"

namespace nearfield::cuda {

class CubinCache {
public:
    static constexpr std::uintmax_t kMostBytes = std::uintmax_t{128} << 20;

    /// An empty folder keeps nothing.
    explicit CubinCache(std::string folder, std::uintmax_t most_bytes = kMostBytes);

    /// As the environment says.
    static CubinCache usual();

    std::optional<std::string> find(const Digest& key) const;
    void keep(const Digest& key, std::string_view cubin) const noexcept;

    const std::string& folder() const noexcept { return folder_; }

private:
    std::string path_of(const Digest& key) const;
    void shrink(const std::string& newest) const;

    std::string folder_;
    std::uintmax_t most_bytes_;
};

}  // namespace nearfield::cuda
