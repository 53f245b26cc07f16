// Searching the graph: walk down to the lowest level, keep the nodes that look best by their codes, score the
// rows of the best of these as they are stored. Breadth ends a walk, or distance, see Horizon.
//
// Several queries of a batch take turns on each thread, so that one waits for memory while others compute.
// An answer depends neither on the batch nor on threads.
// Cost: about 10 to 15 codes read for each of `breadth`, and `rerank` rows.
#pragma once

#include <cstddef>

#include "base/view.h"
#include "index/hnsw/graph.h"
#include "index/hnsw/walk.h"
#include "index/search.h"

namespace nearfield {

struct Breadth {
    std::size_t k;
    std::size_t kept;  // nodes that a walk keeps, at least k
    std::size_t
        rerank;      // how many of them are scored, at least k; 0: a share of those that it follows
    double passing;  // the share of nodes that may answer
    Horizon horizon;
};

/// The best of the nodes found whose rows may answer; fewer than k where the walks found fewer. terms: of all
/// nodes where a map changes the lengths of rows, see WalkCodes; else null.
void search_graph(const Graph& graph, const StoredRows& rows, MatrixView<float> queries,
                  const Breadth& breadth, const float* terms, int threads, const TopKOut& out);

}  // namespace nearfield
