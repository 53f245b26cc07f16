// new_graph: what a graph has to know of its rows before it has nodes: their unit, their centre, and whether
// their nearness is distance.
#pragma once

#include "index/hnsw/graph.h"
#include "index/search.h"

namespace nearfield {

/// From up to some thousand of `count` rows. Inner products of rows of about one length order as distances do,
/// which make the better links.
Graph new_graph(const StoredRows& rows, std::size_t count, const GraphSpec& spec);

}  // namespace nearfield
