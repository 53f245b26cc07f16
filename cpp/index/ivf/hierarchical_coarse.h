// HierarchicalCoarse: the nearest lists through the nearest groups of lists.
//
// Centroids lie group by group, every group about the mean of its own. A vector meets the means first, then
// exactly the centroids of the groups whose means are nearest. How many groups these are depends on nprobe
// alone; where it would be half of them, every centroid is looked at, as FlatCoarse does.
// Cost: sqrt(8 nlist) means and, for nprobe lists, (16 + 4 sqrt(nprobe)) sqrt(nlist / 8) centroids a vector
// instead of nlist. Lists beyond the chosen groups are missed; decision 0010 has what that costs.
// Source: own; the two levels are those of vector quantizers with a tree of depth two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/ivf/centroid_search.h"
#include "index/ivf/coarse.h"
#include "index/lists.h"
#include "quant/kmeans/kmeans.h"

namespace nearfield {

class HierarchicalCoarse final : public CoarseLists {
public:
    /// centroids: nlist x dim, group by group; group_sizes: at least 1 each, nlist in all.
    HierarchicalCoarse(Metric metric, std::size_t dim, std::span<const float> centroids,
                       std::span<const std::uint32_t> group_sizes);

    std::size_t size() const noexcept override { return lists_.size(); }
    std::size_t bytes() const noexcept override;
    const float* centroids() const noexcept override { return lists_.centroids(); }
    double max_norm() const noexcept override { return lists_.max_norm(); }
    std::span<const std::uint32_t> group_sizes() const noexcept override { return groups_.sizes(); }
    const float* group_means() const noexcept override { return means_.centroids(); }
    std::size_t groups_looked_into(std::size_t nprobe) const noexcept override {
        const std::size_t groups = groups_for(nprobe);
        return groups < groups_.size() ? groups : 0;
    }
    std::shared_ptr<const CoarseAdapter> adapted(const std::shared_ptr<const CorpusMap>& map,
                                                 int threads) const override;
    using CoarseLists::nearest;
    std::vector<Id> nearest(MatrixView<float> queries, std::size_t nprobe,
                            const CoarseAdapter* adapter, int threads) const override;
    ExactScorer scorer(const CoarseAdapter* adapter) const override {
        return lists_.scorer(adapter != nullptr ? &adapter->lists : nullptr);
    }

    /// Groups looked into for nprobe lists; all of them means that these are not looked at.
    std::size_t groups_for(std::size_t nprobe) const noexcept;

private:
    CentroidSearch lists_;
    CentroidSearch means_;
    Lists groups_;                      // which centroids each has
    std::vector<std::size_t> certain_;  // lists that any so many groups hold at least
};

/// Puts centroids in the order of about sqrt(8 k) groups of near ones; returns how many each has.
/// options: what they were found by.
std::vector<std::uint32_t> group_centroids(std::vector<float>& centroids, std::size_t dim,
                                           const KMeansOptions& options, int threads);

}  // namespace nearfield
