// without_dead: a graph that goes on without some of its nodes.
//
// A node that has led to dead ones chooses its links again, from what is left of them and what the dead ones
// led to. Then nodes are numbered anew, in the same order. Some may not be reached any more, see reach.h.
// Cost: a choice among about 2 m (1 + 2 m * share of dead nodes) rows for most nodes; a new graph in memory.
// Source: delete consolidation of Singh et al., "FreshDiskANN" (arXiv:2105.09613), Algorithm 4.
#pragma once

#include "index/hnsw/graph.h"
#include "index/hnsw/row_reader.h"
#include "select/filter.h"

namespace nearfield {

/// The nodes whose rows are live, at least one; rows are numbered as they are once dead ones are gone.
/// reader: of the rows as they are now.
Graph without_dead(const Graph& graph, const RowReader& reader, const RowFilter& live, int threads);

}  // namespace nearfield
