// CloseBounds: bounds on the scores of a query's last centroids, from float32 products.
//
// What codes leave open about which centroids are nearest, a float32 product decides but for a few; float64
// keys, five times as dear, are left to those.
// Source: own; the error of the product is stated with its kernel.
#pragma once

#include <vector>

#include "base/types.h"
#include "base/view.h"
#include "select/candidates.h"

namespace nearfield {

class CloseBounds {
public:
    /// centroids: float32 rows that stay.
    CloseBounds(Metric metric, const RowsView& centroids);

    /// How centroids count: as they are, or as a map has them. Queries are folded then, and lengths what the map
    /// makes of the centroids' (cosine, l2).
    struct Adapted {
        bool is_folded = false;
        const double* lengths = nullptr;
    };

    /// Replaces the bounds of what was found, in units of their own; leaves all as it is where products may
    /// leave the range of float32.
    void tighten(std::vector<Candidate>& found, const float* query, const Adapted& adapted) const;

    std::size_t bytes() const noexcept { return norms_.size() * sizeof(double); }

private:
    Candidate bounds(const float* query, double norm, Id row,
                     const Adapted& adapted) const noexcept;

    Metric metric_;
    RowsView centroids_;
    std::vector<double> norms_;
    double max_norm_ = 0.0;
};

}  // namespace nearfield
