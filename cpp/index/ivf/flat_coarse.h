// FlatCoarse: every centroid is compared with every vector.
#pragma once

#include "index/ivf/centroid_search.h"
#include "index/ivf/coarse.h"

namespace nearfield {

class FlatCoarse final : public CoarseLists {
public:
    /// centroids: nlist x dim.
    FlatCoarse(Metric metric, std::size_t dim, std::span<const float> centroids)
        : lists_(metric, dim, centroids) {}

    std::size_t size() const noexcept override { return lists_.size(); }
    std::size_t bytes() const noexcept override { return lists_.bytes(); }
    const float* centroids() const noexcept override { return lists_.centroids(); }
    double max_norm() const noexcept override { return lists_.max_norm(); }
    std::vector<Id> nearest(MatrixView<float> queries, std::size_t nprobe,
                            int threads) const override {
        return lists_.nearest(queries, nprobe, threads);
    }

private:
    CentroidSearch lists_;
};

}  // namespace nearfield
