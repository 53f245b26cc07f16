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

#include "index/hnsw/far_rows.h"
#include "index/hnsw/graph.h"
#include "index/hnsw/row_reader.h"
#include "index/search.h"

namespace nearfield {

/// Rows that are to be linked to each other. They count from 0 in the order of `which`.
struct LinkTask {
    const StoredRows& rows;
    std::span<const Id> which;
    std::span<const std::size_t> lists;  // of near rows: where each begins, and the end
    const ByteRows& bytes;               // the same rows: how far they are from each other
    const FarRows& far;                  // what may be linked to beside the nearest ones
    std::size_t wanted;                  // nearest ones of each row
    std::size_t probed;                  // lists, where a row is not compared with all others
};

/// What links them elsewhere: on a device, for one. It writes the links of all rows, chosen and led back as
/// choose_links.h and back_links.h have it.
using LinkSource = std::function<void(const LinkTask& task, Links& links)>;

/// While it lives, all levels of graphs over many rows that this thread makes are linked by `source`.
class LinkScope {
public:
    explicit LinkScope(const LinkSource& source) noexcept;
    ~LinkScope();
    LinkScope(const LinkScope&) = delete;
    LinkScope& operator=(const LinkScope&) = delete;

private:
    const LinkSource* before_;
};

/// rows 0 .. n - 1 of the reader, n > 0. spec, by_distance and codes (without nodes yet) come in `empty`.
Graph build_graph(const RowReader& rows, std::size_t n, Graph empty, int threads);

}  // namespace nearfield
