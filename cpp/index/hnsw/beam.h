// Beam: the best nodes a walk has found, in order, and which of them it has followed already.
//
// An entry is one number: the score turned round so that smaller is better, then the node, then whether it was
// followed; so order is one comparison, and ties go to the smaller node.
// Cost: an insertion moves on average half of the beam, 8 bytes an entry.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/types.h"

namespace nearfield {

class Beam {
public:
    /// Nodes are below this.
    static constexpr std::size_t kMostNodes = std::size_t{1} << 31;

    /// Forgets everything; keeps the `breadth` best from now on.
    void reset(std::size_t breadth) {
        breadth_ = breadth;
        if (entries_.size() < breadth + 1) entries_.resize(breadth + 1);
        size_ = 0;
        next_ = 0;
    }

    std::size_t size() const noexcept { return size_; }
    Id node(std::size_t i) const noexcept { return static_cast<Id>(entries_[i] & UINT32_MAX) >> 1; }
    float score(std::size_t i) const noexcept {
        return from_bits(~static_cast<std::uint32_t>(entries_[i] >> 32));
    }

    /// Every node at most once.
    void insert(float score, Id node) noexcept {
        const std::uint64_t entry = std::uint64_t{~to_bits(score)} << 32 | std::uint64_t{node} << 1;
        if (size_ == breadth_ && entry > entries_[size_ - 1]) return;
        const std::size_t at = position(entry);
        std::uint64_t* const to = entries_.data() + at;
        std::memmove(to + 1, to, (size_ - at) * sizeof *to);
        *to = entry;
        if (size_ < breadth_) ++size_;
        if (at < next_) next_ = at;
    }

    bool has_next() const noexcept { return next_ < size_; }
    /// The best node that was not followed yet.
    Id next() const noexcept { return node(next_); }
    float next_score() const noexcept { return score(next_); }
    /// Marks next() as followed.
    void follow() noexcept {
        entries_[next_] |= 1;
        while (++next_ < size_ && (entries_[next_] & 1) != 0) {
        }
    }

private:
    /// Unsigned numbers in the order of floats.
    static std::uint32_t to_bits(float score) noexcept {
        const auto bits = std::bit_cast<std::uint32_t>(score);
        return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
    }
    static float from_bits(std::uint32_t bits) noexcept {
        return std::bit_cast<float>((bits & 0x80000000u) != 0 ? bits & 0x7fffffffu : ~bits);
    }

    /// How many entries come before this one; no branch depends on the data.
    std::size_t position(std::uint64_t entry) const noexcept {
        const std::uint64_t* base = entries_.data();
        std::size_t n = size_;
        while (n > 1) {
            const std::size_t half = n / 2;
            base = base[half - 1] < entry ? base + half : base;
            n -= half;
        }
        const auto before = static_cast<std::size_t>(base - entries_.data());
        return before + (n == 1 && *base < entry ? 1 : 0);
    }

    std::size_t breadth_ = 0;
    std::size_t size_ = 0;
    std::size_t next_ = 0;  // of the first entry that was not followed
    std::vector<std::uint64_t> entries_;
};

}  // namespace nearfield
