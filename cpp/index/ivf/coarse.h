// CoarseLists: the centroids of an inverted file, and which of them are near a vector.
//
// Distances are those of the index's metric; under ip and cosine the centroids are unit vectors. Which lists
// are found is the same on every level, for any batch and any number of threads. A kind is a class of its
// own; train_coarse() and the file know them all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/types.h"
#include "base/view.h"
#include "index/ivf/centroid_search.h"
#include "quant/kmeans/kmeans.h"
#include "quant/raw/exact.h"

namespace nearfield {

enum class CoarseKind : std::uint8_t { kFlat, kHierarchical };

/// Centroids, and where lists are found through groups the means of these, as a map has them.
struct CoarseAdapter {
    CentroidAdapter lists;
    std::optional<CentroidAdapter> means;

    std::size_t bytes() const noexcept { return lists.size() + (means ? means->size() : 0); }
};

class CoarseLists {
public:
    virtual ~CoarseLists() = default;

    virtual std::size_t size() const noexcept = 0;
    virtual std::size_t bytes() const noexcept = 0;
    /// size() x dim floats.
    virtual const float* centroids() const noexcept = 0;
    /// The largest norm of them.
    virtual double max_norm() const noexcept = 0;
    /// Lists of each group, where they lie group by group; else empty.
    virtual std::span<const std::uint32_t> group_sizes() const noexcept { return {}; }
    /// The mean of each, dim floats; null where there are none.
    virtual const float* group_means() const noexcept { return nullptr; }
    /// Groups looked into for nprobe lists, the nearest; 0: every list is looked at.
    virtual std::size_t groups_looked_into(std::size_t /*nprobe*/) const noexcept { return 0; }

    /// Centroids as a map of all rows has them.
    virtual std::shared_ptr<const CoarseAdapter> adapted(
        const std::shared_ptr<const CorpusMap>& map, int threads) const = 0;

    /// The nprobe nearest lists of every query; what bounds say is the nearest comes first. adapter: null, or
    /// of these lists; queries are folded then.
    virtual std::vector<Id> nearest(MatrixView<float> queries, std::size_t nprobe,
                                    const CoarseAdapter* adapter, int threads) const = 0;
    std::vector<Id> nearest(MatrixView<float> queries, std::size_t nprobe, int threads) const {
        return nearest(queries, nprobe, nullptr, threads);
    }

    /// Scores of centroids.
    virtual ExactScorer scorer(const CoarseAdapter* adapter) const = 0;

    /// The nearest list of every row, as nearest() finds it.
    std::vector<Id> assign(const RowsView& rows, int threads) const;
};

/// By k-means over at most 256 rows a list, drawn by seed. std::invalid_argument for fewer rows than lists
/// or rows that are not finite.
std::shared_ptr<const CoarseLists> train_coarse(CoarseKind kind, const RowsView& rows,
                                                Metric metric, std::size_t nlist,
                                                std::uint64_t seed, int threads,
                                                const Clustering& clustering = kmeans);

}  // namespace nearfield
