// CentroidSearch: the nearest of many centroids, or of some groups of them.
//
// Exact: bounds from codes decide where they can, float64 keys elsewhere (ties: the smaller number), hence the
// same centroids on every level, for any batch and any number of threads. Batches go through bfloat16 panels,
// few queries through a scan of bytes.
// Cost: centroids * dim bfloat16 products a query. Source: own.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "index/ivf/close_bounds.h"
#include "index/lists.h"
#include "index/probes.h"
#include "index/row_store.h"

namespace nearfield {

class CentroidSearch {
public:
    /// centroids: of dim floats each.
    CentroidSearch(Metric metric, std::size_t dim, std::span<const float> centroids);

    std::size_t size() const noexcept { return store_.count; }
    std::size_t bytes() const noexcept {
        return store_.bytes() + bytes_.bytes() - bytes_.rows.bytes() + close_.bytes();
    }
    const float* centroids() const noexcept { return store_.rows.as<float>(); }
    /// The largest norm of them.
    double max_norm() const noexcept { return store_.max_norm; }

    /// The n nearest of all to every query; what bounds say is the nearest comes first.
    std::vector<Id> nearest(MatrixView<float> queries, std::size_t n, int threads) const;

    /// Of those in the groups that each query probes, which hold n at least.
    std::vector<Id> nearest_among(const Lists& groups, const Probes& probes,
                                  MatrixView<float> queries, std::size_t n, int threads) const;

private:
    RowStore store_;  // as bfloat16, for batches
    RowStore bytes_;  // the same centroids as bytes, for few queries
    CloseBounds close_;
};

}  // namespace nearfield
