// CoarseLists: the centroids of an inverted file, and which of them are near a vector.
//
// Distances are those of the index's metric; under ip and cosine the centroids are unit vectors. The search
// is exact, hence the same lists on every level, for any batch and any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/view.h"
#include "index/row_store.h"

namespace nearfield {

class CoarseLists {
public:
    /// By k-means over at most kPointsPerList rows a list, drawn by seed. std::invalid_argument for fewer
    /// rows than lists or rows that are not finite.
    static CoarseLists train(const RowsView& rows, Metric metric, std::size_t nlist,
                             std::uint64_t seed, int threads);

    /// centroids: nlist x dim.
    CoarseLists(Metric metric, std::size_t dim, std::span<const float> centroids);

    std::size_t size() const noexcept { return store_.count; }
    std::size_t bytes() const noexcept {
        return store_.bytes() + bytes_.bytes() - bytes_.rows.bytes();
    }

    /// The nprobe nearest lists of every query, nearest first.
    std::vector<Id> nearest(MatrixView<float> queries, std::size_t nprobe, int threads) const;

    /// The nearest list of every row.
    std::vector<Id> assign(const RowsView& rows, int threads) const;

    const float* centroids() const noexcept { return store_.rows.as<float>(); }
    /// The largest norm of them.
    double max_norm() const noexcept { return store_.max_norm; }

private:
    RowStore store_;  // as bfloat16, for batches
    RowStore bytes_;  // the same centroids as bytes, for few queries
};

}  // namespace nearfield
