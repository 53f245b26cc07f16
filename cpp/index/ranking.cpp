#include "index/ranking.h"

#include <algorithm>
#include <limits>

namespace nearfield {

void Ranking::offer(const Ranked& ranked) {
    if (best_.size() < k_) {
        best_.push_back(ranked);
        std::push_heap(best_.begin(), best_.end());
        return;
    }
    if (!(ranked < best_.front())) return;
    std::pop_heap(best_.begin(), best_.end());
    best_.back() = ranked;
    std::push_heap(best_.begin(), best_.end());
}

const std::vector<Ranked>& Ranking::sorted() {
    std::sort_heap(best_.begin(), best_.end());
    return best_;
}

void write_row(const std::vector<Ranked>& best, std::size_t k, const ExactScorer& scorer,
               double query_norm, std::size_t query, const TopKOut& out) {
    std::int64_t* ids = out.ids + query * k;
    float* scores = out.scores + query * k;
    out.counts[query] = static_cast<std::int64_t>(best.size());
    for (std::size_t i = 0; i < best.size(); ++i) {
        ids[i] = best[i].label;
        scores[i] = static_cast<float>(scorer.score(best[i].key, query_norm));
    }
    std::fill(ids + best.size(), ids + k, kMissing);
    std::fill(scores + best.size(), scores + k, std::numeric_limits<float>::quiet_NaN());
}

}  // namespace nearfield
