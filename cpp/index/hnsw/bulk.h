// build_graph: the graph over many rows at once, without searching it.
//
// Rows are cut several times at random into leaves of near ones, and within a leaf all are compared with
// all: that finds most of a row's nearest ones at the price of arithmetic without cache misses. What a row
// is linked to is chosen from these as HNSW chooses from what a search found; links then run both ways, and
// what still cannot be reached from the top is tied in. The same graph for any number of threads.
// Source: own; leaves in place of searches: "PiPNN" (2026), partitions by random leaders and leaves compared
// whole; the rule for links: choose_links.h.
#pragma once

#include "index/hnsw/graph.h"
#include "index/hnsw/row_reader.h"

namespace nearfield {

/// rows 0 .. n - 1 of the reader, n > 0. spec, by_distance and codes (without nodes yet) come in `empty`.
Graph build_graph(const RowReader& rows, std::size_t n, Graph empty, int threads);

}  // namespace nearfield
