// Reach: which nodes a search can come to at all, and links to those it cannot.
//
// Walks of a level start at the nodes that are also on the level above, on the top at every node. A node that no
// links lead to from there gets one from a near node that is reached: in a free place, or in place of a link that
// the tree of shortest ways does not need. So nothing that was reached is lost.
// Cost: one pass over the links. Memory: 8 bytes a node. Source: own.
#pragma once

#include <cstddef>
#include <vector>

#include "index/hnsw/graph.h"

namespace nearfield {

/// The tree of shortest ways over one level: of every node the one it is reached from, kNoNode where that is the
/// level above or nothing.
std::vector<Id> parents_of(const Graph& graph, std::size_t level);

/// Nodes of level 0 that can be reached from the top level.
std::size_t count_reached(const Graph& graph);

/// Links every node of one level in; returns how many were not reached. The level above has to be complete.
std::size_t tie_in(Graph& graph, std::size_t level);

}  // namespace nearfield
