// PanelNearest: the nearest centroid through a panel scan over codes and an exact re-check.
//
// Per block of 256 rows: the exact score of each row's last centroid is a floor that nearly no other
// centroid reaches, so that the epilogue of the scan has next to nothing to report. Where more than
// one centroid is left by the bounds, exact scores decide. Without a guess the floor starts from the
// best of 16 centroids and rises with what is found.
// Cost: rows * centroids byte products, and an exact score for every pair that is left.
// Source: own.
#pragma once

#include <cstddef>
#include <vector>

#include "quant/kmeans/centroid_panels.h"
#include "quant/kmeans/encoded_rows.h"
#include "quant/kmeans/nearest.h"

namespace nearfield {

class PanelNearest final : public NearestCentroid {
public:
    /// squared: |x|^2 of every row, all finite.
    PanelNearest(MatrixView<float> rows, std::vector<double> squared, double largest, int threads);

    std::size_t find(const Centroids& centroids, bool guessed, Id* nearest, double* keys,
                     int threads) override;
    const double* squared_norms() const noexcept override { return squared_.data(); }

private:
    MatrixView<float> rows_;
    std::vector<double> squared_;
    EncodedRows codes_;
};

}  // namespace nearfield
