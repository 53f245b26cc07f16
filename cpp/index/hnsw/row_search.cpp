#include "index/hnsw/row_search.h"

#include <algorithm>
#include <cfloat>

#include "select/nth_largest.h"

namespace nearfield {

RowSearch::RowSearch(const ByteRows& rows, std::size_t dim, std::size_t slots, std::size_t wanted)
    : rows_(rows),
      pairs_(dim, rows.by_distance()),
      wanted_(wanted),
      room_(2 * wanted + kBlock),
      found_(slots * room_),
      counts_(slots),
      least_(slots) {}

void RowSearch::start(Id first) {
    first_ = first;
    std::fill(counts_.begin(), counts_.end(), 0U);
    std::fill(least_.begin(), least_.end(), -FLT_MAX);
}

void RowSearch::meet(std::span<const std::uint32_t> slots, std::size_t begin, std::size_t end) {
    for (std::size_t at = begin; at < end; at += kBlock) {
        pairs_.set_block(rows_.view(), at, std::min(kBlock, end - at));
        for (std::size_t from = 0; from < slots.size(); from += NearPairs::kLanes) {
            meet_panel(slots.subspan(from, std::min(NearPairs::kLanes, slots.size() - from)), at);
        }
    }
}

void RowSearch::meet_panel(std::span<const std::uint32_t> slots, std::size_t block) {
    Id rows[NearPairs::kLanes] = {};
    float least[NearPairs::kLanes];
    for (std::size_t lane = 0; lane < slots.size(); ++lane) {
        rows[lane] = first_ + slots[lane];
        least[lane] = least_[slots[lane]];
    }
    pairs_.set_lanes(rows_.view(), rows, slots.size());
    const std::size_t n = pairs_.find(least, hits_);
    for (std::size_t h = 0; h < n; ++h) {
        constexpr std::uint32_t kLanes = NearPairs::kLanes;
        const std::uint32_t lane = hits_.pair[h] % kLanes;
        const std::uint32_t i = hits_.pair[h] / kLanes;
        const std::uint32_t slot = slots[lane];
        // What is no number, or leaves the range of float32, says nothing.
        const float upper = std::min(FLT_MAX, hits_.upper[h]);
        const float lower = std::max(-FLT_MAX, hits_.upper[h] - pairs_.width(i, lane));
        found_[slot * room_ + counts_[slot]++] = {lower, upper, static_cast<Id>(block + i)};
    }
    for (const std::uint32_t slot : slots) {
        if (counts_[slot] >= 2 * wanted_) drop_farthest(slot);
    }
}

void RowSearch::drop_farthest(std::size_t slot) {
    Found* const found = found_.data() + slot * room_;
    const std::size_t n = counts_[slot];
    // Rounded up, by what is not above the one looked for: whole vectors are quicker to go through.
    const bool bounded = least_[slot] > -FLT_MAX;
    scores_.assign(bounded ? round_up(n, 32) : n, least_[slot]);
    for (std::size_t i = 0; i < n; ++i) scores_[i] = found[i].lower;
    // One more than wanted: the row itself may be among them.
    const float least = nth_largest(scores_, wanted_ + 1);
    std::uint32_t kept = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const Found f = found[i];
        found[kept] = f;
        kept += static_cast<std::uint32_t>(f.upper >= least);
    }
    counts_[slot] = kept;
    least_[slot] = least;
    if (kept >= 2 * wanted_) keep_nearest(slot);
}

/// Where bounds leave too many, distances decide.
void RowSearch::keep_nearest(std::size_t slot) {
    select(slot);
    nodes_.clear();
    for (const Near& near : near_) nodes_.push_back(near.node);
    std::sort(nodes_.begin(), nodes_.end());
    Found* const found = found_.data() + slot * room_;
    const auto is_far = [&](const Found& f) {
        return !std::binary_search(nodes_.begin(), nodes_.end(), f.node);
    };
    counts_[slot] =
        static_cast<std::uint32_t>(std::remove_if(found, found + counts_[slot], is_far) - found);
}

/// Fills near_ with the nearest of those kept.
void RowSearch::select(std::size_t slot) {
    const Id self = first_ + static_cast<Id>(slot);
    nodes_.clear();
    for (std::size_t i = 0; i < counts_[slot]; ++i) {
        const Id node = found_[slot * room_ + i].node;
        if (node != self) nodes_.push_back(node);
    }
    distances_.resize(nodes_.size());
    rows_.distances(self, nodes_.data(), nodes_.size(), distances_.data());
    near_.clear();
    for (std::size_t i = 0; i < nodes_.size(); ++i) near_.push_back({distances_[i], nodes_[i]});
    if (near_.size() <= wanted_) return;
    const auto end = near_.begin() + static_cast<std::ptrdiff_t>(wanted_);
    std::nth_element(near_.begin(), end, near_.end());
    near_.erase(end, near_.end());
}

std::span<const Near> RowSearch::nearest_unsorted(std::size_t slot) {
    if (counts_[slot] > wanted_ + 1) drop_farthest(slot);
    select(slot);
    return near_;
}

std::span<const Near> RowSearch::nearest(std::size_t slot) {
    nearest_unsorted(slot);
    std::sort(near_.begin(), near_.end());
    return near_;
}

}  // namespace nearfield
