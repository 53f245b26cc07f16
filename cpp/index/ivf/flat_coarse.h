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
    std::shared_ptr<const CoarseAdapter> adapted(const std::shared_ptr<const CorpusMap>& map,
                                                 int threads) const override {
        return std::make_shared<const CoarseAdapter>(
            CoarseAdapter{lists_.adapted(map, threads), std::nullopt});
    }
    using CoarseLists::nearest;
    std::vector<Id> nearest(MatrixView<float> queries, std::size_t nprobe,
                            const CoarseAdapter* adapter, int threads) const override {
        return lists_.nearest(queries, nprobe, adapter != nullptr ? &adapter->lists : nullptr,
                              threads);
    }
    ExactScorer scorer(const CoarseAdapter* adapter) const override {
        return lists_.scorer(adapter != nullptr ? &adapter->lists : nullptr);
    }

private:
    CentroidSearch lists_;
};

}  // namespace nearfield
