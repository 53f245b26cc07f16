#include "index/flat/recheck.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/interrupt.h"

namespace nearfield {
namespace {

constexpr std::size_t kPrefetchAhead = 4;

/// What a float32 upper bound may lack through its own rounding.
double widened(float upper) noexcept {
    const double u = static_cast<double>(upper);
    return u + std::fabs(u) * 0x1p-18 + 0x1p-118;
}

}  // namespace

Rechecker::Rechecker(const FlatRows& rows, std::size_t k)
    : rows_(rows), k_(k), scorer_(rows.codes.spec.metric, rows.rows, rows.norms) {}

void Rechecker::offer(const Best& best) {
    if (best_.size() < k_) {
        best_.push_back(best);
        std::push_heap(best_.begin(), best_.end());
        return;
    }
    if (!(best < best_.front())) return;
    std::pop_heap(best_.begin(), best_.end());
    best_.back() = best;
    std::push_heap(best_.begin(), best_.end());
}

void Rechecker::top_k(const float* query, std::vector<Candidate>& candidates,
                      const QueryPanel& panel, std::size_t lane) {
    best_.clear();
    scorer_.bind(query);
    for (std::size_t i = 0; i < std::min(kPrefetchAhead, candidates.size()); ++i) {
        scorer_.prefetch(candidates[i].row);
    }
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
        return a.upper > b.upper || (a.upper == b.upper && a.row < b.row);
    });
    double floor = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if (widened(candidates[i].upper) < floor) break;
        if (i + kPrefetchAhead < candidates.size()) {
            scorer_.prefetch(candidates[i + kPrefetchAhead].row);
        }
        const Id row = candidates[i].row;
        offer({scorer_.key(row), rows_.label(row)});
        if (best_.size() == k_) {
            floor = panel.in_lane_units(lane, best_.front().key) - panel.key_slack(lane);
        }
    }
    std::sort_heap(best_.begin(), best_.end());
}

void Rechecker::all(const float* query, Id excluded) {
    best_.clear();
    scorer_.bind(query);
    for (std::size_t row = 0; row < rows_.codes.count; ++row) {
        if (row % 1024 == 0) checkpoint();
        const auto id = static_cast<Id>(row);
        if (id == excluded || !rows_.passes(id)) continue;
        offer({scorer_.key(id), rows_.label(id)});
    }
    std::sort_heap(best_.begin(), best_.end());
}

void Rechecker::within(const float* query, const std::vector<Candidate>& candidates,
                       double threshold) {
    best_.clear();
    scorer_.bind(query);
    const bool smaller = rows_.codes.spec.metric == Metric::kL2;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if (i + kPrefetchAhead < candidates.size()) {
            scorer_.prefetch(candidates[i + kPrefetchAhead].row);
        }
        const Id row = candidates[i].row;
        const double key = scorer_.key(row);
        // The score as the user sees it decides, so that no returned score contradicts the threshold.
        const auto score = static_cast<double>(static_cast<float>(scorer_.score(key)));
        if (smaller ? score <= threshold : score >= threshold) {
            best_.push_back({key, rows_.label(row)});
        }
    }
    std::sort(best_.begin(), best_.end());
}

void Rechecker::write(std::size_t query, const TopKOut& out) const {
    std::int64_t* ids = out.ids + query * k_;
    float* scores = out.scores + query * k_;
    out.counts[query] = static_cast<std::int64_t>(best_.size());
    for (std::size_t i = 0; i < best_.size(); ++i) {
        ids[i] = best_[i].label;
        scores[i] = static_cast<float>(scorer_.score(best_[i].key));
    }
    std::fill(ids + best_.size(), ids + k_, kMissing);
    std::fill(scores + best_.size(), scores + k_, std::numeric_limits<float>::quiet_NaN());
}

void Rechecker::append_to(RangeHits& hits) const {
    for (const Best& best : best_) {
        hits.ids.push_back(best.label);
        hits.scores.push_back(static_cast<float>(scorer_.score(best.key)));
    }
}

}  // namespace nearfield
