// Collector: takes the hits of a panel scan to the candidates of the queries they belong to.
#pragma once

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

class Collector {
public:
    /// selves: per query a row that may not answer; empty: none.
    Collector(const StoredRows& rows, MatrixView<float> queries, std::span<const Id> selves,
              std::size_t k)
        : rows_(rows),
          queries_(queries),
          selves_(selves),
          k_(k),
          scorer_(rows.codes.spec.metric, rows.rows, rows.norms) {}

    /// Appends n hits, whose rows count from `first`, to the candidates of their lanes, `rank` as in
    /// Candidates. Returns the lanes that have got any.
    std::uint64_t collect(std::span<const Lane> lanes, std::size_t first, std::size_t rank,
                          const QueryPanel& panel, const HitBuffer& hits, std::size_t n) const;

    /// After a number of collect(): brings the candidates' floor up to date, and keeps them few.
    void update(const Lane& lane, std::size_t rank, const QueryPanel& panel,
                std::size_t number) const;

private:
    void keep_best(const Lane& lane, const QueryPanel& panel, std::size_t number) const;

    bool may_answer(std::size_t query, Id row) const noexcept {
        return rows_.passes(row) && (selves_.empty() || selves_[query] != row);
    }

    const StoredRows& rows_;
    MatrixView<float> queries_;
    std::span<const Id> selves_;
    std::size_t k_;
    ExactScorer scorer_;
};

}  // namespace nearfield
