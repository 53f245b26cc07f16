// link_back: what was chosen for each node, and that in both directions.
//
// Where u chose v, u is offered to v; a node with more offers and choices than it has places for chooses among
// all of them again. The same for any number of threads.
// Memory: 8 bytes an offer. Source: Malkov & Yashunin, arXiv:1603.09320, Algorithm 1.
#pragma once

#include <cstddef>

#include "index/hnsw/choose_links.h"
#include "index/hnsw/links.h"
#include "index/hnsw/neighbours.h"

namespace nearfield {

/// A node that very many chose looks at so many times its links' number, the nearest.
inline constexpr std::size_t kConsidered = 8;

/// Writes the links of all nodes. rows: those of the nodes.
void link_back(const Neighbours& chosen, const ByteRows& rows, float slack, Links& out,
               int threads);

}  // namespace nearfield
