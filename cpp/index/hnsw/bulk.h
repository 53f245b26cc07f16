// build_graph: the graph over many rows at once, without searching it.
//
// Rows are put into lists of near ones, and the rows of a list are compared with those of all lists near it,
// block by block: that finds most of a row's nearest ones at the price of arithmetic without cache misses.
// What a row is linked to is chosen from these as HNSW chooses from what a search found; links then run both
// ways, and what still cannot be reached from above is tied in. The same graph for any number of threads.
// Source: own; comparing whole leaves in place of searching: as in "PiPNN" (2026); the rule for links:
// choose_links.h.
#pragma once

#include "index/hnsw/graph.h"
#include "index/hnsw/row_reader.h"

namespace nearfield {

/// rows 0 .. n - 1 of the reader, n > 0. spec, by_distance and codes (without nodes yet) come in `empty`.
Graph build_graph(const RowReader& rows, std::size_t n, Graph empty, int threads);

}  // namespace nearfield
