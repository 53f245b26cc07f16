// Visited: the nodes of a level that one walk has seen, a bit a node.
//
// No branch depends on what is there: most links of a walk lead to nodes that were seen, but which ones nobody
// can predict. What was set is remembered and taken back one by one, so that a walk costs what it sees and
// not the size of the level.
// Memory: an eighth of a byte a node for each thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/types.h"

namespace nearfield {

class Visited {
public:
    /// Forgets all nodes; those of the next walk are below `nodes`.
    void clear(std::size_t nodes) {
        for (const Id node : seen_) words_[node / 64] = 0;
        seen_.clear();
        if (words_.size() * 64 < nodes) words_.resize(nodes / 64 + 1, 0);
    }

    /// Copies those of n nodes that were not seen yet to `fresh`, which has room for all; returns how many.
    std::size_t add(const Id* nodes, std::size_t n, Id* fresh) {
        std::size_t found = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const Id node = nodes[i];
            std::uint64_t& word = words_[node / 64];
            const std::uint64_t bit = std::uint64_t{1} << (node % 64);
            fresh[found] = node;
            found += (word & bit) == 0;
            word |= bit;
        }
        seen_.insert(seen_.end(), fresh, fresh + found);
        return found;
    }

private:
    std::vector<std::uint64_t> words_;
    std::vector<Id> seen_;
};

}  // namespace nearfield
