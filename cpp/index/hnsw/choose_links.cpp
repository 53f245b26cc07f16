// Choosing links: what is chosen strikes out at once all that it stands before, so that a candidate is
// compared only until one does.
#include "index/hnsw/choose_links.h"

namespace nearfield {

std::span<const Near> LinkChooser::choose(std::span<const Near> candidates, std::size_t most) {
    left_.assign(candidates.begin(), candidates.end());
    chosen_.clear();
    const float slack = rows_.by_distance() ? slack_ : 1.0f;
    while (!left_.empty() && chosen_.size() < most) {
        const Near nearest = left_.front();
        chosen_.push_back(nearest);
        if (chosen_.size() == most) break;
        const std::size_t n = left_.size() - 1;
        ids_.resize(n);
        between_.resize(n);
        for (std::size_t i = 0; i < n; ++i) ids_[i] = left_[i + 1].node;
        rows_.distances(nearest.node, ids_.data(), n, between_.data());
        std::size_t kept = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const Near candidate = left_[i + 1];
            if (slack * between_[i] <= candidate.distance) continue;
            left_[kept++] = candidate;
        }
        left_.resize(kept);
    }
    return chosen_;
}

}  // namespace nearfield
