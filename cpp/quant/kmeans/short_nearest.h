// ShortNearest: the nearest centroid of rows of few columns, as product quantizers train on.
//
// Codes would waste most of a tile on 2 to 16 columns. Rows are kept in blocks of 32, transposed, so
// that the kernel compares 32 rows with a broadcast centroid in float32. It also says by how much the best
// score leads; where that is less than float32 can be off by, exact scores decide.
// Cost: rows * centroids * (columns + 5) float operations. Source: own.
#pragma once

#include <cstddef>
#include <vector>

#include "base/buffer.h"
#include "quant/kmeans/nearest.h"

namespace nearfield {

class ShortNearest final : public NearestCentroid {
public:
    /// Beyond this many columns panels are faster.
    static constexpr std::size_t kMostColumns = 24;

    /// squared: |x|^2 of every row, all finite. largest: of the norms of rows and centroids.
    ShortNearest(MatrixView<float> rows, std::vector<double> squared, double largest, int threads);

    std::size_t find(const Centroids& centroids, bool guessed, Id* nearest, double* keys,
                     int threads) override;
    const double* squared_norms() const noexcept override { return squared_.data(); }

private:
    MatrixView<float> rows_;
    std::vector<double> squared_;
    double unit_;
    Buffer blocks_;
    std::vector<float> squared_in_units_;  // rounded up
};

}  // namespace nearfield
