// build_graph: the graph over many rows at once, without searching it.
//
// Rows lie in lists of near ones, and a row is compared with all rows of the lists nearest to it: that finds most
// of its nearest ones at the price of arithmetic without cache misses (nearest_rows.h), and rows of samples get
// some farther ones too (far_rows.h). What a row is linked to is chosen from these as HNSW chooses from what a
// search found, equal rows counting as one (equal_rows.h); then links run both ways (back_links.h), and what
// still cannot be reached from the top is tied in (reach.h). The same graph for any number of threads.
// Source: own; leaves in place of searches: "PiPNN" (2026); the rule for links: choose_links.h.
#pragma once

#include "index/hnsw/graph.h"
#include "index/hnsw/row_reader.h"

namespace nearfield {

/// rows 0 .. n - 1 of the reader, n > 0. spec, by_distance and codes (without nodes yet) come in `empty`.
Graph build_graph(const RowReader& rows, std::size_t n, Graph empty, int threads);

}  // namespace nearfield
