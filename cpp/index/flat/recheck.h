// Rechecker: from candidates with bounds to the exact answer of one query.
//
// Candidates are scored exactly in the order of their upper bounds; once the k-th exact key lies
// above the next upper bound nothing left can enter. Ties never end the walk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "index/flat/search.h"
#include "quant/raw/exact.h"
#include "quant/raw/query.h"
#include "select/candidates.h"

namespace nearfield {

inline constexpr Id kNoRow = UINT32_MAX;

class Rechecker {
public:
    Rechecker(const FlatRows& rows, std::size_t k);

    /// The k best of the candidates; bounds are in the units of that lane of the panel.
    void top_k(const float* query, std::vector<Candidate>& candidates, const QueryPanel& panel,
               std::size_t lane);

    /// The k best of all rows that pass the filter, without candidates.
    void all(const float* query, Id excluded);

    /// All candidates whose exact score meets the threshold, best first.
    void within(const float* query, const std::vector<Candidate>& candidates, double threshold);

    /// Writes the last answer as row `query` of the output, padded.
    void write(std::size_t query, const TopKOut& out) const;
    void append_to(RangeHits& hits) const;

private:
    struct Best {
        double key;
        std::int64_t label;
        /// Better first: larger key, then smaller label.
        bool operator<(const Best& other) const noexcept {
            return key > other.key || (key == other.key && label < other.label);
        }
    };

    void offer(const Best& best);

    const FlatRows& rows_;
    std::size_t k_;
    ExactScorer scorer_;
    std::vector<Best> best_;  // a heap of at most k with the worst on top, until sorted
};

}  // namespace nearfield
