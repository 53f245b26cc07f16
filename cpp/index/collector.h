// Collector: scans rows with a panel and takes the hits to the candidates of their queries.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/view.h"
#include "index/search.h"
#include "quant/raw/exact.h"
#include "quant/raw/query.h"
#include "quant/raw/scan.h"
#include "select/candidates.h"

namespace nearfield {

/// Which query a lane of a panel is, and where its candidates go.
struct Lane {
    std::size_t query;
    Candidates* found;
};

/// Rows [first, last) of codes, at most kBlockRows; row i of them is row base + i of the store.
struct Stretch {
    const CodeView& codes;
    std::size_t first;
    std::size_t last;
    std::size_t base = 0;
};

class Collector {
public:
    /// selves: per query a row that may not answer; empty: none.
    Collector(const StoredRows& rows, MatrixView<float> queries, std::span<const Id> selves,
              std::size_t k)
        : rows_(rows), queries_(queries), selves_(selves), k_(k), scorer_(rows.scorer()) {}

    /// Scans the store's own codes of rows [first, last), see below.
    template <class Raised>
    void scan(QueryPanel& panel, std::span<const Lane> lanes, std::size_t first, std::size_t last,
              std::size_t rank, Raised&& raised) const {
        scan(panel, lanes, Stretch{rows_.codes, first, last}, rank, raised);
    }
    void scan(QueryPanel& panel, std::span<const Lane> lanes, std::size_t first, std::size_t last,
              std::size_t rank) const {
        scan(panel, lanes, first, last, rank, [](const Lane&) {});
    }

    /// Scans a stretch with a panel of these lanes: hits become candidates, and where there were any, the
    /// candidates' floor is brought up to date (rank as in Candidates) and handed to the panel.
    /// raised(lane) may raise it further before.
    template <class Raised>
    void scan(QueryPanel& panel, std::span<const Lane> lanes, const Stretch& rows, std::size_t rank,
              Raised&& raised) const {
        for (std::uint64_t hit = collect(panel, lanes, rows, rank); hit != 0; hit &= hit - 1) {
            const auto number = static_cast<std::size_t>(std::countr_zero(hit));
            const Lane& lane = lanes[number];
            settle(lane, panel.units(number), rank);
            raised(lane);
            panel.set_floor(number, lane.found->floor());
        }
    }

    /// Brings the floor up to date once candidates have come, and sees to it that they do not pile up.
    void settle(const Lane& lane, const KeyUnits& units, std::size_t rank) const {
        lane.found->update(rank);
        if (lane.found->list().size() > kMaxHeld + 2 * k_) keep_best(lane, units);
    }

    bool may_answer(std::size_t query, Id row) const noexcept {
        return rows_.passes(row) && (selves_.empty() || selves_[query] != row);
    }

private:
    /// Candidates of one query, beyond 2 k, above which exact keys thin them out.
    static constexpr std::size_t kMaxHeld = 8192;

    /// Returns the lanes that have got any.
    std::uint64_t collect(QueryPanel& panel, std::span<const Lane> lanes, const Stretch& rows,
                          std::size_t rank) const;
    void keep_best(const Lane& lane, const KeyUnits& units) const;

    const StoredRows& rows_;
    MatrixView<float> queries_;
    std::span<const Id> selves_;
    std::size_t k_;
    ExactScorer scorer_;
};

}  // namespace nearfield
