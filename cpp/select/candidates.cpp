#include "select/candidates.h"

#include <algorithm>
#include <functional>

namespace nearfield {

void Candidates::make_room(std::size_t n) {
    drop_below(floor_);
    // Room for three times what stays: dropping costs a pass over everything.
    if (4 * size_ + n > list_.size()) list_.resize(4 * size_ + n);
}

void Candidates::settle() {
    if (size_ >= k_) {
        thread_local std::vector<float> lowers;
        lowers.resize(size_);
        for (std::size_t i = 0; i < size_; ++i) lowers[i] = list_[i].lower;
        const auto kth = lowers.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
        std::nth_element(lowers.begin(), kth, lowers.end(), std::greater<>());
        raise(*kth);
        start_counting();
    }
    drop_below(floor_);
}

void Candidates::start_counting() {
    float most = floor_;
    for (const Candidate& c : list()) most = std::max(most, c.lower);
    // Without a spread, or in a range where steps vanish, selection has to do.
    const float spread = most - floor_;
    counting_ = spread > 0x1p-100f && spread < 0x1p100f;
    if (!counting_) {
        start_at_ = 2 * size_;
        return;
    }
    histogram_.fill(0);
    base_ = floor_;
    per_step_ = static_cast<float>(kSteps / 2) / spread;
    reached_ = 0;
    above_ = 0;
    for (const Candidate& c : list()) {
        if (c.lower > floor_) count(c.lower);
    }
}

void Candidates::climb() noexcept {
    while (above_ >= k_ && reached_ + 1 < kSteps) {
        ++reached_;
        above_ -= histogram_[reached_];
    }
    // A value counted in step s is at least base + s / per_step, give or take the rounding of count().
    raise(base_ + (static_cast<float>(reached_) - 0.01f) / per_step_);
    if (reached_ + 2 >= kSteps) {  // out of steps: select and count anew
        counting_ = false;
        start_at_ = 0;
    }
}

void Candidates::drop_below(float floor) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < size_; ++i) {
        // Branch-free: the slot is overwritten unless the pair stays.
        const Candidate c = list_[i];
        list_[kept] = c;
        kept += static_cast<std::size_t>(!(c.upper < floor));
    }
    size_ = kept;
}

void Candidates::merge(const Candidates& other) {
    raise(other.floor_);
    reserve_more(other.size_);
    counting_ = false;  // settle() will select
    for (const Candidate& candidate : other.list()) append(candidate);
}

void Candidates::replace(std::span<const Candidate> best) {
    std::copy(best.begin(), best.end(), list_.begin());
    size_ = best.size();
    settle();
}

}  // namespace nearfield
