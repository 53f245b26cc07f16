// CoarseLists: the centroids of an inverted file, and which of them are near a vector.
//
// Distances are those of the index's metric; under ip and cosine the centroids are unit vectors. Which lists
// are found is the same on every level, for any batch and any number of threads. A kind is a class of its
// own; train_coarse() and the file know them all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/types.h"
#include "base/view.h"

namespace nearfield {

enum class CoarseKind : std::uint8_t { kFlat, kHierarchical };

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

    /// The nprobe nearest lists of every query; what bounds say is the nearest comes first.
    virtual std::vector<Id> nearest(MatrixView<float> queries, std::size_t nprobe,
                                    int threads) const = 0;

    /// The nearest list of every row, as nearest() finds it.
    std::vector<Id> assign(const RowsView& rows, int threads) const;
};

/// By k-means over at most 256 rows a list, drawn by seed. std::invalid_argument for fewer rows than lists
/// or rows that are not finite.
std::shared_ptr<const CoarseLists> train_coarse(CoarseKind kind, const RowsView& rows,
                                                Metric metric, std::size_t nlist,
                                                std::uint64_t seed, int threads);

}  // namespace nearfield
