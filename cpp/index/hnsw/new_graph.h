// new_graph: what a graph has to know of its rows before it has nodes: their unit, their centre, and whether
// their nearness is distance.
#pragma once

#include "index/hnsw/graph.h"
#include "index/hnsw/row_reader.h"
#include "index/search.h"

namespace nearfield {

/// From up to some thousand of `count` rows. Inner products of rows of about one length order as distances do,
/// which make the better links.
Graph new_graph(const StoredRows& rows, std::size_t count, const GraphSpec& spec);

/// Where inner products order as distances do, tells the walk codes how long rows are, by those of the top level. A
/// graph has to have nodes.
void measure_length(Graph& graph, const RowReader& rows);

}  // namespace nearfield
