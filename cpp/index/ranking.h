// Ranking: the k best exact scores of one query, in the one total order of the engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "index/search.h"
#include "quant/raw/exact.h"

namespace nearfield {

struct Ranked {
    double key;
    std::int64_t label;
    /// Better first: larger key, then smaller label.
    bool operator<(const Ranked& other) const noexcept {
        return key > other.key || (key == other.key && label < other.label);
    }
};

/// Writes row `query` of the output from an answer that is sorted best first, padded to k.
void write_row(const std::vector<Ranked>& best, std::size_t k, const ExactScorer& scorer,
               double query_norm, std::size_t query, const TopKOut& out);

/// Keeps the k best of what it is offered.
class Ranking {
public:
    explicit Ranking(std::size_t k) : k_(k) {}

    void offer(const Ranked& ranked);

    /// Best first; nothing may be offered any more.
    const std::vector<Ranked>& sorted();

    const std::vector<Ranked>& list() const noexcept { return best_; }

private:
    std::size_t k_;
    std::vector<Ranked> best_;  // a heap with the worst on top
};

}  // namespace nearfield
