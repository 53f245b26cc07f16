// build_graph: the graph over many rows at once, without searching it.
//
// Rows lie in lists of near ones, and a row is compared with all rows of the lists nearest to it: that finds most
// of its nearest ones at the price of arithmetic without cache misses (nearest_rows.h), and rows of samples get
// some farther ones too (far_rows.h). What a row is linked to is chosen from these as HNSW chooses from what a
// search found, equal rows counting as one (equal_rows.h); then links run both ways (back_links.h), and what
// still cannot be reached from the top is tied in (reach.h). The same graph for any number of threads.
// Source: own; leaves in place of searches: "PiPNN" (2026); the rule for links: choose_links.h.
#pragma once

#include <functional>
#include <span>

#include "index/hnsw/graph.h"
#include "index/hnsw/row_reader.h"
#include "index/search.h"

namespace nearfield {

/// Gets numbers of rows near to rows first, first + 1 ..: `wanted` each in no order, kNoNode where there are
/// fewer; the row itself may be among them.
using TakeNumbers = std::function<void(std::size_t first, std::size_t count, const Id* numbers)>;

/// Rows whose nearest ones among each other are to be found. They count from 0 in the order of `which`.
struct NearestTask {
    const StoredRows& rows;
    std::span<const Id> which;
    std::span<const std::size_t> lists;  // of near rows: where each begins, and the end
    bool by_distance;                    // as of the graph
    std::size_t wanted;                  // of each row
    std::size_t probed;                  // lists, where a row is not compared with all others
};

/// What finds them elsewhere: on a device, for one. Every row is to be taken once, in ascending order, on this
/// thread.
using NearestSource = std::function<void(const NearestTask& task, const TakeNumbers& take)>;

/// While it lives, graphs over many rows that this thread makes get the nearest ones of level 0 from `source`.
class NearestScope {
public:
    explicit NearestScope(const NearestSource& source) noexcept;
    ~NearestScope();
    NearestScope(const NearestScope&) = delete;
    NearestScope& operator=(const NearestScope&) = delete;

private:
    const NearestSource* before_;
};

/// rows 0 .. n - 1 of the reader, n > 0. spec, by_distance and codes (without nodes yet) come in `empty`.
Graph build_graph(const RowReader& rows, std::size_t n, Graph empty, int threads);

}  // namespace nearfield
