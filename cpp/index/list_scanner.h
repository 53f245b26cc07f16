// ListScanner: how one task scans lists for the queries of its group. There is one for every way rows are
// coded; ListSearch decides which lists meet which queries, and when.
//
// What a scanner must do: every row of a list that may belong to a query's answer becomes one of its
// Candidates, with certain bounds in the query's units; whatever the bounds exclude may be left out.
// Where what was kept of rows has the last word, a scanner may say instead that its bounds are estimates,
// upper and lower the same: the best of them, ties by smaller label, are then scored.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>

#include "base/interrupt.h"
#include "base/view.h"
#include "index/collector.h"
#include "index/lists.h"
#include "index/search.h"
#include "select/candidates.h"

namespace nearfield {

/// The first rows pass every threshold: small pieces let floors rise early.
inline constexpr std::size_t kFirstPiece = 32;

/// A candidate with these bounds; what overflowed says nothing.
inline Candidate bounded(double upper, double lower, Id row) noexcept {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const auto u = static_cast<float>(upper);
    const auto l = static_cast<float>(lower);
    return std::isfinite(u) && std::isfinite(l) ? Candidate{u, l, row}
                                                : Candidate{kInfinity, -kInfinity, row};
}

/// What a scanner works on: a group of queries, and what has been found for them so far.
struct ListTask {
    const StoredRows& rows;
    const Lists& lists;
    const Collector& collector;
    MatrixView<float> queries;    // of the group
    std::size_t first;            // number of its first query
    std::size_t keep;             // candidates to keep of each query
    std::span<Candidates> found;  // per query
    // Floors that other tasks of the group see; null where there are none.
    std::atomic<float>* shared = nullptr;
    double epsilon = 0.0;  // see SearchOptions
    bool settles = false;  // begins with the nearest list of every query, see settle()

    Lane lane(std::size_t member) const noexcept { return {first + member, &found[member]}; }

    /// Takes and gives the best floor that any task of the group knows.
    void share_floor(std::size_t member) const {
        if (shared == nullptr) return;
        Candidates& mine = found[member];
        float seen = shared[member].load(std::memory_order_relaxed);
        while (mine.floor() > seen && !shared[member].compare_exchange_weak(
                                          seen, mine.floor(), std::memory_order_relaxed)) {
        }
        mine.raise(seen);
    }

    bool has_floor(std::size_t member) const noexcept {
        return found[member].floor() != -std::numeric_limits<float>::infinity();
    }

    /// scan(first row, last row) for pieces of a list: at most kBlockRows, small ones first where a query
    /// has no floor yet.
    template <class Scan>
    void for_each_piece(std::size_t list, bool no_floor, Scan&& scan) const {
        std::size_t step = no_floor ? kFirstPiece : kBlockRows;
        for (const Run& run : lists.runs(list)) {
            const std::size_t end = std::size_t{run.first} + run.count;
            for (std::size_t row = run.first; row < end;
                 row += step, step = std::min(2 * step, kBlockRows)) {
                checkpoint();
                scan(row, std::min(row + step, end));
            }
        }
    }
};

class ListScanner {
public:
    virtual ~ListScanner() = default;

    /// members: queries of the group that probe the list.
    virtual void scan(std::size_t list, std::span<const std::uint32_t> members) = 0;

    /// What keys are in the units of a query's bounds.
    virtual KeyUnits units(std::size_t member) const = 0;

    /// See above. The same for every task of a search.
    virtual bool estimates() const noexcept { return false; }

    /// The nearest list of every query has been scanned, and nothing else.
    virtual void settle() {}

    /// Nothing more will be found for a query: drops what cannot be in its answer.
    virtual void conclude(std::size_t /*member*/, Candidates& found) const { found.drop(); }
};

/// Whether packed codes propose the rows that are scored again.
inline bool proposes_by_estimate(const StoredRows& rows) noexcept {
    return rows.can_refine() && rows.coded->packed_rows != 0;
}

/// A scanner for the way these rows are coded. one_by_one: hardly more than one query wants a list.
std::unique_ptr<ListScanner> make_list_scanner(const ListTask& task, bool one_by_one);

}  // namespace nearfield
