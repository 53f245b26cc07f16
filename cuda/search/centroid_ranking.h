// Centroids by their distance from each query, all of them: what a search goes on with beyond the nearest.
//
// Cost: dim float64 multiply-adds a centroid and query that is asked; none for the others.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/exact_pass.h"
#include "cuda/search/listed_rows.h"

namespace nearfield::cuda {

class CentroidRanking {
public:
    /// Of a request's queries, for tiles of at most `most_queries`; listed: whose centroids these are.
    CentroidRanking(const ListRequest& request, const ListedRows& listed, std::size_t most_queries,
                    Scratch& scratch);
    CentroidRanking(const CentroidRanking&) = delete;
    CentroidRanking& operator=(const CentroidRanking&) = delete;

    /// Queries at a time.
    std::size_t tile() const noexcept { return pass_.tile(); }
    /// Centroids.
    std::size_t size() const noexcept { return all_.rows.rows; }

    /// Enqueues the ranking of a tile. asked: uint32 a query, 0 for none.
    void run(const StreamRef& stream, const QueryTile& queries, CUdeviceptr asked,
             CUdeviceptr scratch) const;

    /// Where it is then: int64, size() a query.
    CUdeviceptr found(CUdeviceptr scratch) const noexcept { return scratch + ids_; }

private:
    SearchRequest all_;
    ExactPass pass_;
    std::size_t ids_, scores_, counts_;
};

}  // namespace nearfield::cuda
