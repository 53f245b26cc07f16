// link_back: what was chosen for each node, and that in both directions.
//
// Where u chose v, u is offered to v; a node with more offers and choices than it has places for chooses among
// all of them again. The same for any number of threads.
// Memory: 8 bytes an offer. Source: Malkov & Yashunin, arXiv:1603.09320, Algorithm 1.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "index/hnsw/choose_links.h"
#include "index/hnsw/links.h"

namespace nearfield {

/// Up to `most` links a node with their distances, side by side.
class ChosenLinks {
public:
    ChosenLinks(std::size_t nodes, std::size_t most)
        : most_(most), count_(nodes), links_(nodes * most) {}

    std::size_t nodes() const noexcept { return count_.size(); }
    void set(std::size_t node, std::span<const Near> links) noexcept;
    std::span<const Near> of(std::size_t node) const noexcept {
        return {links_.data() + node * most_, count_[node]};
    }

private:
    std::size_t most_;
    std::vector<std::uint16_t> count_;
    std::vector<Near> links_;
};

/// Writes the links of all nodes. rows: those of the nodes.
void link_back(const ChosenLinks& chosen, const ByteRows& rows, float slack, Links& out,
               int threads);

}  // namespace nearfield
