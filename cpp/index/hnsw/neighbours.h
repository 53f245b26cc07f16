// Neighbours: up to so many others of each node, with their distances, side by side.
// Memory: 8 bytes each, and 2 a node.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/hnsw/choose_links.h"

namespace nearfield {

/// Ascending, every node once. A node is as far each time.
inline void sort_unique(std::vector<Near>& near) {
    std::sort(near.begin(), near.end());
    const auto same = [](const Near& a, const Near& b) { return a.node == b.node; };
    near.erase(std::unique(near.begin(), near.end(), same), near.end());
}

class Neighbours {
public:
    /// most: below 2^16.
    Neighbours(std::size_t nodes, std::size_t most)
        : most_(most), counts_(nodes), all_(nodes * most) {}

    std::size_t nodes() const noexcept { return counts_.size(); }
    std::size_t most() const noexcept { return most_; }

    /// Of different nodes from different threads.
    void set(std::size_t node, std::span<const Near> others) noexcept {
        counts_[node] = static_cast<std::uint16_t>(others.size());
        std::copy(others.begin(), others.end(),
                  all_.begin() + static_cast<std::ptrdiff_t>(node * most_));
    }
    std::span<const Near> of(std::size_t node) const noexcept {
        return {all_.data() + node * most_, counts_[node]};
    }

private:
    std::size_t most_;
    std::vector<std::uint16_t> counts_;
    std::vector<Near> all_;
};

}  // namespace nearfield
