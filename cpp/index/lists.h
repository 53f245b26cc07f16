// Lists: which rows of a store belong to which inverted list.
//
// A list is a few runs of consecutive rows: one from when rows were last put in the order of lists, one
// for each later add that touched it. Runs are immutable; an add makes new Lists, O(lists + runs).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"

namespace nearfield {

struct Run {
    Id first;
    Id count;
};

class Lists {
public:
    explicit Lists(std::size_t n) : starts_(n + 1, 0), sizes_(n, 0) {}

    std::size_t size() const noexcept { return sizes_.size(); }
    std::size_t runs() const noexcept { return runs_.size(); }
    std::span<const Run> runs(std::size_t list) const noexcept {
        return {runs_.data() + starts_[list], runs_.data() + starts_[list + 1]};
    }
    /// Rows of a list, dead ones included.
    std::size_t rows(std::size_t list) const noexcept { return sizes_[list]; }
    const std::vector<std::uint32_t>& sizes() const noexcept { return sizes_; }

    /// Rows lie list by list.
    bool in_order() const noexcept {
        Id next = 0;
        for (const Run& run : runs_) {
            if (run.first != next) return false;
            next += run.count;
        }
        return true;
    }

    /// These lists and, from row `first` on, counts[l] more rows for list l, l ascending.
    Lists extended(std::size_t first, std::span<const std::uint32_t> counts) const {
        Lists out(size());
        out.runs_.reserve(runs_.size() + size());
        auto next = static_cast<Id>(first);
        for (std::size_t list = 0; list < size(); ++list) {
            const std::span<const Run> mine = runs(list);
            out.runs_.insert(out.runs_.end(), mine.begin(), mine.end());
            if (counts[list] != 0) {
                if (!mine.empty() && mine.back().first + mine.back().count == next) {
                    out.runs_.back().count += counts[list];
                } else {
                    out.runs_.push_back({next, counts[list]});
                }
                next += counts[list];
            }
            out.starts_[list + 1] = static_cast<std::uint32_t>(out.runs_.size());
            out.sizes_[list] = sizes_[list] + counts[list];
        }
        return out;
    }

    std::size_t bytes() const noexcept {
        return runs_.size() * sizeof(Run) + sizes_.size() * 2 * sizeof(std::uint32_t);
    }

private:
    std::vector<Run> runs_;
    std::vector<std::uint32_t> starts_;  // of each list's runs, and the end
    std::vector<std::uint32_t> sizes_;
};

}  // namespace nearfield
