#include "select/candidates.h"

#include <algorithm>
#include <vector>

#include "select/nth_largest.h"

namespace nearfield {
namespace {

constexpr std::size_t kFirstRoom = 128;

}  // namespace

void Candidates::make_room() {
    // Trimming costs a pass or two over everything: not before there is much to drop.
    if (size_ >= 4 * k_ + 2 * kFirstRoom) trim();
    if (2 * size_ < room_) return;
    const std::size_t room = std::max(kFirstRoom, 2 * room_);
    auto larger = std::make_unique_for_overwrite<Candidate[]>(room);
    std::copy_n(list_.get(), size_, larger.get());
    list_ = std::move(larger);
    room_ = room;
}

float Candidates::select(std::size_t rank) const {
    thread_local std::vector<float> memory;
    std::vector<float>& lowers = memory;
    lowers.resize(size_);
    for (std::size_t i = 0; i < size_; ++i) lowers[i] = list_[i].lower;
    return nth_largest(lowers, rank);
}

float Candidates::trim() {
    if (size_ < k_) return -std::numeric_limits<float>::infinity();
    const float certain = select(k_);
    raise(certain);
    drop_below(certain);
    return certain;
}

void Candidates::select_floor(std::size_t rank) {
    const float selected = select(rank);
    raise(selected);
    if (rank >= k_) drop_below(selected);  // certain
    start_counting(rank);
}

void Candidates::start_counting(std::size_t rank) {
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
    per_step_ = static_cast<float>(kSteps / 8) / spread;
    reached_ = 0;
    above_ = 0;
    for (const Candidate& c : list()) {
        if (counting_) count(c.lower, rank);
    }
}

void Candidates::climb(std::size_t rank) noexcept {
    while (above_ >= rank && reached_ + 1 < kSteps) {
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
    counting_ = false;  // trim() will select
    for (const Candidate& candidate : other.list()) append(candidate, 0);
}

void Candidates::replace(std::span<const Candidate> best) {
    std::copy(best.begin(), best.end(), list_.get());
    size_ = best.size();
    trim();
}

}  // namespace nearfield
