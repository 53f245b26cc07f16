#include "index/ivf/hierarchical_coarse.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// There are as many groups as there are centroids in so many groups of mean size. 16 and more are looked into,
/// so that a vector meets at least twice as many centroids as means.
constexpr double kMeansShare = 8.0;
constexpr int kIterations = 10;
/// Groups looked into: so many, and so many more times the root of nprobe. By measurement, decision 0010.
constexpr double kGroups = 16.0;
constexpr double kGroupsPerRoot = 4.0;

std::size_t group_count(std::size_t nlist) {
    const double count = std::sqrt(kMeansShare * static_cast<double>(nlist));
    return std::min(static_cast<std::size_t>(count), nlist);
}

/// The mean of every group, at unit length where centroids are.
std::vector<float> means_of(std::span<const float> centroids, std::size_t dim,
                            std::span<const std::uint32_t> group_sizes, bool spherical) {
    std::vector<float> means(group_sizes.size() * dim);
    std::vector<double> sum(dim);
    const float* centroid = centroids.data();
    for (std::size_t g = 0; g < group_sizes.size(); ++g) {
        std::fill(sum.begin(), sum.end(), 0.0);
        for (std::size_t i = 0; i < group_sizes[g]; ++i, centroid += dim) {
            for (std::size_t d = 0; d < dim; ++d) sum[d] += static_cast<double>(centroid[d]);
        }
        float* mean = means.data() + g * dim;
        for (std::size_t d = 0; d < dim; ++d) {
            mean[d] = static_cast<float>(sum[d] / static_cast<double>(group_sizes[g]));
        }
        if (spherical) normalise(mean, dim);
    }
    return means;
}

/// The i-th number: how many lists any i groups hold at least.
std::vector<std::size_t> certain_of(std::span<const std::uint32_t> group_sizes) {
    std::vector<std::uint32_t> sorted(group_sizes.begin(), group_sizes.end());
    std::sort(sorted.begin(), sorted.end());
    std::vector<std::size_t> out(sorted.size() + 1, 0);
    for (std::size_t i = 0; i < sorted.size(); ++i) out[i + 1] = out[i] + sorted[i];
    return out;
}

}  // namespace

HierarchicalCoarse::HierarchicalCoarse(Metric metric, std::size_t dim,
                                       std::span<const float> centroids,
                                       std::span<const std::uint32_t> group_sizes)
    : lists_(metric, dim, centroids),
      means_(metric, dim, means_of(centroids, dim, group_sizes, metric != Metric::kL2)),
      groups_(Lists(group_sizes.size()).extended(0, group_sizes)),
      certain_(certain_of(group_sizes)) {}

std::size_t HierarchicalCoarse::bytes() const noexcept {
    return lists_.bytes() + means_.bytes() + groups_.bytes() +
           certain_.size() * sizeof(std::size_t);
}

std::size_t HierarchicalCoarse::groups_for(std::size_t nprobe) const noexcept {
    const auto wanted =
        static_cast<std::size_t>(kGroups + kGroupsPerRoot * std::sqrt(static_cast<double>(nprobe)));
    const auto enough = std::lower_bound(certain_.begin(), certain_.end(), nprobe);
    const std::size_t groups =
        std::max(wanted, static_cast<std::size_t>(enough - certain_.begin()));
    return 2 * groups < groups_.size() ? groups : groups_.size();
}

std::shared_ptr<const CoarseAdapter> HierarchicalCoarse::adapted(
    const std::shared_ptr<const CorpusMap>& map, int threads) const {
    return std::make_shared<const CoarseAdapter>(
        CoarseAdapter{lists_.adapted(map, threads), means_.adapted(map, threads)});
}

std::vector<Id> HierarchicalCoarse::nearest(MatrixView<float> queries, std::size_t nprobe,
                                            const CoarseAdapter* adapter, int threads) const {
    const CentroidAdapter* const lists = adapter != nullptr ? &adapter->lists : nullptr;
    const CentroidAdapter* const means = adapter != nullptr ? &*adapter->means : nullptr;
    const std::size_t groups = groups_for(nprobe);
    if (groups == groups_.size()) return lists_.nearest(queries, nprobe, lists, threads);
    const std::vector<Id> near = means_.nearest(queries, groups, means, threads);
    return lists_.nearest_among(groups_, {near, groups}, queries, nprobe, lists, threads);
}

std::vector<std::uint32_t> group_centroids(std::vector<float>& centroids, std::size_t dim,
                                           const KMeansOptions& options, int threads) {
    const MatrixView<float> all{centroids.data(), options.k, dim};
    KMeansOptions over = options;
    over.k = group_count(options.k);
    over.iterations = kIterations;
    over.hierarchical = false;
    over.label_rows = true;
    const std::vector<Id> group = kmeans(all, over, threads).labels;
    std::vector<Id> order(options.k);
    std::iota(order.begin(), order.end(), Id{0});
    std::stable_sort(order.begin(), order.end(), [&](Id a, Id b) { return group[a] < group[b]; });
    std::vector<float> sorted(centroids.size());
    std::vector<std::uint32_t> sizes(over.k, 0);
    for (std::size_t i = 0; i < order.size(); ++i) {
        std::copy_n(all.row(order[i]), dim, sorted.data() + i * dim);
        ++sizes[group[order[i]]];
    }
    std::erase(sizes, 0u);
    centroids.swap(sorted);
    return sizes;
}

}  // namespace nearfield
