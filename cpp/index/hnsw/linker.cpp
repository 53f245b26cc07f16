#include "index/hnsw/linker.h"

#include <algorithm>

namespace nearfield {

Linker::Linker(const RowReader& rows, bool by_distance)
    : rows_(rows), row_(rows.dim()), bytes_(rows.dim(), by_distance) {}

/// near_: candidates by number, nearest first.
void Linker::measure(Id row, const LinkCandidates& candidates) {
    const std::size_t n = candidates.size();
    for (const Id other : candidates.rows) rows_.prefetch(other);
    bytes_.resize(n + 1);
    for (std::size_t i = 0; i <= n; ++i) {
        rows_.read(i < n ? candidates.rows[i] : row, row_.data());
        bytes_.set(i, row_.data());
    }
    for (std::size_t i = numbers_.size(); i < n; ++i) numbers_.push_back(static_cast<Id>(i));
    distances_.resize(n);
    bytes_.distances(n, numbers_.data(), n, distances_.data());
    near_.clear();
    for (std::size_t i = 0; i < n; ++i) near_.push_back({distances_[i], static_cast<Id>(i)});
    std::sort(near_.begin(), near_.end());
}

std::span<const Id> Linker::choose(Id row, const LinkCandidates& candidates, std::size_t most,
                                   std::span<const Id> kept) {
    measure(row, candidates);
    LinkChooser chooser(bytes_, kLinkSlack);
    chosen_.clear();
    for (const Near& near : chooser.choose(near_, most)) {
        chosen_.push_back(candidates.nodes[near.node]);
    }
    if (!kept.empty()) keep(candidates, most, kept);
    return chosen_;
}

/// Those that have to stay take the places of the last chosen ones.
void Linker::keep(const LinkCandidates& candidates, std::size_t most, std::span<const Id> kept) {
    const auto is_kept = [&](Id node) {
        return std::find(kept.begin(), kept.end(), node) != kept.end();
    };
    const auto is_chosen = [&](Id node) {
        return std::find(chosen_.begin(), chosen_.end(), node) != chosen_.end();
    };
    for (const Near& near : near_) {
        const Id node = candidates.nodes[near.node];
        if (!is_kept(node) || is_chosen(node)) continue;
        if (chosen_.size() == most) {
            const auto last = std::find_if_not(chosen_.rbegin(), chosen_.rend(), is_kept);
            chosen_.erase(std::next(last).base());
        }
        chosen_.push_back(node);
    }
}

}  // namespace nearfield
