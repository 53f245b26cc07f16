// Inserting rows into a graph: search for what is near, choose links, link back.
//
// Rows come in batches. All rows of a batch look at the graph as it was before and at each other, so that
// the result depends on no order of threads; then the links of the batch are published one by one, each
// atomically, while searches go on. Up to there nothing has changed that a search could see.
// Besides, the nodes of a level are a tree: a link from a parent to its child is never given up, hence every
// node stays reachable.
// Cost: a search of ef_construction a row, and choosing links for about 2 m + 1 nodes.
// Source: Malkov & Yashunin, arXiv:1603.09320, Algorithm 1; batches: Manohar et al., "ParlayANN" (PPoPP 2024).
#pragma once

#include <cstddef>
#include <vector>

#include "index/hnsw/graph.h"
#include "index/hnsw/row_reader.h"

namespace nearfield {

/// By level, of every node the one that must keep its link to it; kNoNode where none has to. See reach.h.
using Parents = std::vector<std::vector<Id>>;

/// Rows of one batch at most.
inline constexpr std::size_t kMostInBatch = 1024;
/// Rows of the next batch, with `count` nodes there.
std::size_t batch_rows(std::size_t count) noexcept;

/// Rows of the reader from graph.count() on become nodes, up to `last`. parents: of the nodes that are there.
void insert_rows(Graph& graph, Parents& parents, const RowReader& rows, std::size_t last,
                 int threads);

}  // namespace nearfield
