// The lists near each query: an exact search over the centroids, as the CPU engine's, ties and all.
//
// Where centroids lie in groups, it is a search by lists itself: rows are the centroids, lists their groups.
// Lists that are much further than the nearest are left out where a margin says so (docs/decisions/0011).
// Cost: lists dim multiply-adds a query; with a margin dim a probe in float64 beside that.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/listed_rows.h"

namespace nearfield::cuda {

/// Centroids as rows to be searched: the `count` nearest of them to queries that are plain.
SearchRequest nearest_centroids(const ListedRows& listed, Metric metric, const QueryTile& queries,
                                std::size_t count) noexcept;

class CoarseStep {
public:
    /// For tiles of at most `most_queries`.
    CoarseStep(const ListRequest& request, std::size_t most_queries, Scratch& scratch);

    /// Bytes of scratch memory that a query takes, about.
    static std::size_t bytes_of_query(const ListRequest& request) noexcept;

    /// Enqueues the search; where the probes are: uint32, nprobe a query, the number of the empty list where
    /// there is none.
    CUdeviceptr run(const StreamRef& stream, const QueryTile& queries, CUdeviceptr scratch) const;

private:
    void search(const StreamRef& stream, const QueryTile& queries, CUdeviceptr at) const;
    SearchRequest nearest(const QueryTile& queries) const noexcept;
    ListRequest among_groups(const QueryTile& queries) const noexcept;
    void leave_out_far(const StreamRef& stream, const QueryTile& queries, CUdeviceptr at) const;

    const ListRequest& r_;
    std::size_t ids_ = 0, scores_ = 0, counts_ = 0, of_search_ = 0;
    std::size_t far_ = 0, probes_ = 0;
};

}  // namespace nearfield::cuda
