#include "select/candidates.h"

#include <algorithm>

namespace nearfield {

void Candidates::shrink() {
    if (list_.size() >= k_) {
        const auto kth = list_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
        std::nth_element(list_.begin(), kth, list_.end(),
                         [](const Candidate& a, const Candidate& b) { return a.lower > b.lower; });
        raise(kth->lower);
    }
    std::erase_if(list_, [this](const Candidate& c) { return c.upper < floor_; });
    shrink_at_ = std::max(first_shrink(k_), 2 * list_.size());
}

}  // namespace nearfield
