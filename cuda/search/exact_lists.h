// Exact scores of groups of rows that lie in lists, and the best of them: the last steps of searches by lists.
//
// Cost: dim float64 multiply-adds a row. Source: kernels/rescore.cu.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/listed_rows.h"

namespace nearfield::cuda {

/// Which groups of each query's lists are scored.
struct ListedGroups {
    CUdeviceptr probes;
    std::size_t nprobe;
    CUdeviceptr places;  // nprobe + 1 a query: its groups before each of its lists
    CUdeviceptr groups;  // capacity a query; 0: the first of all of them
    CUdeviceptr counts;  // of groups to score
    std::size_t capacity;
    CUdeviceptr names;
};

/// Where scores go: `length` keys and names a query, of which `counts` are written.
struct ScoredRows {
    CUdeviceptr keys;
    CUdeviceptr names;
    CUdeviceptr counts;
    std::size_t length;
};

/// Enqueues the scoring of a tile's groups.
void score_groups(const StreamRef& stream, const ListRequest& request, const QueryTile& queries,
                  const ListedGroups& groups, const ScoredRows& out);

/// Enqueues the selection of the best `found` of each query. keys: kKeyBytes each, found a query, where those
/// are more than kMostSharedKeys.
void select_scored(const StreamRef& stream, const QueryTile& queries, const ScoredRows& scored,
                   std::size_t found, CUdeviceptr keys, const Pairs& out);

}  // namespace nearfield::cuda
