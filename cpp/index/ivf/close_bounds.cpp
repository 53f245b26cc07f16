#include "index/ivf/close_bounds.h"

#include <algorithm>

#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// Centroids fetched ahead.
constexpr std::size_t kAhead = 4;

/// Float32 values on both sides of value +- error.
Candidate around(double value, double error, Id row) noexcept {
    const double rounding = (value < 0.0 ? -value : value) * 0x1p-23 + 0x1p-126;
    return {static_cast<float>(value + error + rounding),
            static_cast<float>(value - error - rounding), row};
}

}  // namespace

CloseBounds::CloseBounds(Metric metric, const RowsView& centroids)
    : metric_(metric), centroids_(centroids), norms_(centroids.rows) {
    for (std::size_t i = 0; i < centroids.rows; ++i) {
        norms_[i] = norm_of(static_cast<const float*>(centroids.row(i)), centroids.cols);
        max_norm_ = std::max(max_norm_, norms_[i]);
    }
}

Candidate CloseBounds::bounds(const float* query, double norm, Id row,
                              const Adapted& adapted) const noexcept {
    const std::size_t dim = centroids_.cols;
    const double own = norms_[row];
    const double product = rough_dot(query, static_cast<const float*>(centroids_.row(row)), dim);
    // Float64 keys, which decide, round as well; they take in what is left out of a folded query.
    const double share = adapted.is_folded ? 0x1p-23 : 0x1p-40;
    const double error = rough_dot_error(dim, norm * own) + norm * own * share;
    const double length = adapted.lengths != nullptr ? adapted.lengths[row] : own;
    switch (metric_) {
        case Metric::kIp: break;
        case Metric::kCosine:
            if (!(length > 0.0)) return {0.0f, 0.0f, row};
            return around(product / length, error / length, row);
        case Metric::kL2: {
            // The order of <q,c> - |c|^2 / 2 is the order of distances.
            const double sum = norm + own + length;
            return around(product - 0.5 * length * length, error + sum * sum * 0x1p-40, row);
        }
    }
    return around(product, error, row);
}

void CloseBounds::tighten(std::vector<Candidate>& found, const float* query,
                          const Adapted& adapted) const {
    constexpr double kMostProduct = 1e30;
    const std::size_t dim = centroids_.cols;
    const double norm = norm_of(query, dim);
    const double most = std::max(norm, max_norm_);
    if (!(most * most < kMostProduct)) return;
    for (std::size_t i = 0; i < found.size(); ++i) {
        if (i + kAhead < found.size()) {
            const auto* next = static_cast<const char*>(centroids_.row(found[i + kAhead].row));
            for (std::size_t k = 0; k < dim * sizeof(float); k += 64) __builtin_prefetch(next + k);
        }
        found[i] = bounds(query, norm, found[i].row, adapted);
    }
}

}  // namespace nearfield
