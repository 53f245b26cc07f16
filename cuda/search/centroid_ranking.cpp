#include "cuda/search/centroid_ranking.h"

#include "cuda/search/coarse_step.h"

namespace nearfield::cuda {

CentroidRanking::CentroidRanking(const ListRequest& request, const ListedRows& listed,
                                 std::size_t most_queries, Scratch& scratch)
    : all_(nearest_centroids(listed, request.metric, {0, 0, most_queries}, listed.centroids.rows)),
      pass_(all_, most_queries, scratch) {
    ids_ = scratch.take(tile() * size() * sizeof(std::int64_t));
    scores_ = scratch.take(tile() * size() * sizeof(float));
    counts_ = scratch.take(tile() * sizeof(std::int64_t));
}

void CentroidRanking::run(const StreamRef& stream, const QueryTile& queries, CUdeviceptr asked,
                          CUdeviceptr at) const {
    pass_.run(stream, {at + ids_, at + scores_, at + counts_}, {queries.queries, 0, queries.count},
              at, asked);
}

}  // namespace nearfield::cuda
