// PanelNearest: the nearest centroid through a panel scan over codes and an exact re-check.
//
// Per block of 256 rows: the score of each row's last centroid is a floor that nearly no other centroid
// reaches, so that the epilogue of the scan has next to nothing to report. Where the bounds leave more
// than one centroid, float32 scores with their own bound thin them out, and exact ones decide the rest.
// Without a guess the floor starts from the best of 16 centroids and rises with what is found.
// Cost: rows * centroids byte products, and a float32 score a row and for every pair that is left: on
// real embeddings 1.1 to 3 pairs a row.
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
    std::vector<float> doubt_;  // times |c|: what a float32 score is off by, in units
};

}  // namespace nearfield
