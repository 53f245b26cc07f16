// Candidates: what a scan has found for one query, kept until nothing can be excluded any more.
//
// Every pair comes with a lower and an upper bound on its score. With L the k-th largest lower bound
// seen so far, a pair whose upper bound is below L cannot be among the k best and is dropped; ties
// stay. The list shrinks whenever it has doubled, so that a push costs O(1) amortised.
// Source: own; the reservoir is FAISS's idea (ReservoirTopN), here with intervals instead of points.
#pragma once

#include <cstddef>
#include <limits>
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
    explicit Candidates(std::size_t k = 1) : k_(k), shrink_at_(first_shrink(k)) {}

    /// The k-th largest lower bound known, from here or from elsewhere (see raise).
    float floor() const noexcept { return floor_; }

    /// Another part of the same search guarantees k pairs at or above `floor`.
    void raise(float floor) noexcept {
        if (floor > floor_) floor_ = floor;
    }

    /// True when the list has shrunk and floor() may have risen.
    bool push(const Candidate& candidate) {
        list_.push_back(candidate);
        if (list_.size() < shrink_at_) return false;
        shrink();
        return true;
    }

    /// Tightens floor() from everything pushed and drops what it excludes.
    void shrink();

    std::vector<Candidate>& list() noexcept { return list_; }
    std::size_t k() const noexcept { return k_; }

private:
    static std::size_t first_shrink(std::size_t k) { return k < 16 ? 32 : 2 * k; }

    std::size_t k_;
    std::size_t shrink_at_;
    float floor_ = -std::numeric_limits<float>::infinity();
    std::vector<Candidate> list_;
};

}  // namespace nearfield
