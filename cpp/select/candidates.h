// Candidates: what a scan has found for one query, kept until nothing can be excluded any more.
//
// Every pair comes with a lower and an upper bound on its score. With L the k-th largest lower bound
// seen so far (the floor), a pair whose upper bound is below L cannot be among the k best; ties stay.
// The floor is found once by selection; from then on a histogram of the lower bounds above it tells, in
// O(1) a pair, when k of them have passed the next step. Steps are 1/32 of the spread of the first
// selection: coarser than selecting each time, which lets some pairs more through and is cheaper.
// Source: own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "base/types.h"

namespace nearfield {

struct Candidate {
    float upper;
    float lower;
    Id row;
};

class Candidates {
public:
    explicit Candidates(std::size_t k = 1) : k_(k), start_at_(k < 16 ? 32 : 2 * k) {}

    /// The k-th largest lower bound known, from here or from elsewhere (see raise).
    float floor() const noexcept { return floor_; }

    /// Another part of the same search guarantees k pairs at or above `floor`.
    void raise(float floor) noexcept {
        if (floor > floor_) floor_ = floor;
    }

    /// Room for n more appends.
    void reserve_more(std::size_t n) {
        if (size_ + n > list_.size()) make_room(n);
    }
    /// reserve_more() was called for it.
    void append(const Candidate& candidate) noexcept {
        list_[size_++] = candidate;
        if (counting_ && candidate.lower > floor_) count(candidate.lower);
    }

    /// Call after a number of appends: starts the histogram once there is enough to choose from.
    void update() {
        if (!counting_ && size_ >= start_at_) settle();
    }

    /// Raises the floor to exactly the k-th largest lower bound and drops what it excludes.
    void settle();

    /// Everything other holds, as if it had been appended here.
    void merge(const Candidates& other);

    /// Drops what lies below `floor`, a lower bound on the k-th best score.
    void drop_below(float floor) noexcept;

    std::span<const Candidate> list() const noexcept { return {list_.data(), size_}; }

    /// Takes `best` in place of everything held: at least k pairs, or all there were.
    void replace(std::span<const Candidate> best);

private:
    static constexpr std::size_t kSteps = 64;

    void make_room(std::size_t n);
    void start_counting();

    void count(float lower) noexcept {
        const auto step = static_cast<std::size_t>((lower - base_) * per_step_);
        const std::size_t s = step < kSteps ? step : kSteps - 1;
        ++histogram_[s];
        if (s > reached_ && ++above_ >= k_) climb();
    }
    void climb() noexcept;

    std::size_t k_;
    std::size_t start_at_;
    std::size_t size_ = 0;
    float floor_ = -std::numeric_limits<float>::infinity();
    std::vector<Candidate> list_;  // the first size_ are in use

    // Lower bounds above base_, in kSteps steps; above_: how many lie in steps after reached_.
    bool counting_ = false;
    float base_ = 0.0f;
    float per_step_ = 0.0f;
    std::size_t reached_ = 0;
    std::size_t above_ = 0;
    std::array<std::uint32_t, kSteps> histogram_{};
};

}  // namespace nearfield
