// Candidates: what a scan has found for one query, kept until nothing can be excluded any more.
//
// Every pair comes with a lower and an upper bound on its score. The k-th largest lower bound seen is a
// certain floor: a pair whose upper bound is below it cannot be among the k best; ties stay. While few
// rows have been seen that floor is low and lets a lot through. So the floor that a scan uses may be a
// guess, the rank-th largest lower bound with a rank below k; only in the end trim() tells what was
// certain, and whoever guessed too high scans again.
// The floor is found once by selection; from then on a histogram of the lower bounds above it tells, in
// O(1) a pair, when `rank` of them have passed the next step. Steps are 1/16 of the spread of that
// selection: coarser than selecting each time, which lets some pairs more through and is cheaper.
// Source: own.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>

#include "base/types.h"

namespace nearfield {

struct Candidate {
    float upper;
    float lower;
    Id row;
};

class Candidates {
public:
    explicit Candidates(std::size_t k) : k_(k) {}

    /// At most the rank-th largest lower bound seen here, or what raise() was told. Never falls.
    float floor() const noexcept { return floor_; }

    /// Another part of the same search has found enough pairs at or above `floor`.
    void raise(float floor) noexcept {
        if (floor > floor_) floor_ = floor;
    }

    void append(const Candidate& candidate, std::size_t rank) {
        if (size_ == room_) make_room();
        list_[size_++] = candidate;
        if (counting_) count(candidate.lower, rank);
    }

    /// Call after a number of appends: starts the histogram once there is enough to choose from.
    void update(std::size_t rank) {
        if (!counting_ && size_ >= std::max(start_at_, rank + rank / 4)) select_floor(rank);
    }

    /// Drops what floor() excludes, where that is known to be certain.
    void drop() noexcept { drop_below(floor_); }

    /// Drops what the certain floor excludes and returns it, -infinity when less than k is held. Raises
    /// floor() to it as well: if floor() is larger still, a guess was too high.
    float trim();

    /// Everything other holds, as if it had been appended here.
    void merge(const Candidates& other);

    std::span<const Candidate> list() const noexcept { return {list_.get(), size_}; }

    /// Takes `best` in place of everything held: at least k pairs, or all there were.
    void replace(std::span<const Candidate> best);

private:
    static constexpr std::size_t kSteps = 128;

    void make_room();
    float select(std::size_t rank) const;
    void select_floor(std::size_t rank);
    void drop_below(float floor) noexcept;
    void start_counting(std::size_t rank);

    /// Without a branch that depends on the value, but for the rare last one.
    void count(float lower, std::size_t rank) noexcept {
        const float step = std::max(0.0f, (lower - base_) * per_step_);
        const auto s = static_cast<std::size_t>(std::min(step, static_cast<float>(kSteps - 1)));
        ++histogram_[s];
        above_ += static_cast<std::size_t>(s > reached_);
        if (above_ >= rank) climb(rank);
    }
    void climb(std::size_t rank) noexcept;

    std::size_t size_ = 0;
    std::size_t room_ = 0;
    std::unique_ptr<Candidate[]> list_;  // the first size_ of room_ are in use
    float floor_ = -std::numeric_limits<float>::infinity();

    // Lower bounds in kSteps steps from base_ on (what is below it counts for the first); above_: how
    // many lie in steps after reached_.
    bool counting_ = false;
    float base_ = 0.0f;
    float per_step_ = 0.0f;
    std::size_t reached_ = 0;
    std::size_t above_ = 0;
    std::array<std::uint32_t, kSteps> histogram_{};

    std::size_t k_;
    std::size_t start_at_ = 32;  // pairs to hold before selecting
};

}  // namespace nearfield
