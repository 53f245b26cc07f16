// NearestCentroid: which centroid is nearest to every row, exactly, again and again.
//
// The rows are prepared once and searched in every iteration of k-means. The answer is that of float64
// scores in the canonical order of kernels/generic/exact.h, ties to the smaller number, so it is the
// same bits for any level and any number of threads; the fast arithmetic underneath only proposes.
// Two ways: byte or bfloat16 panels (panel_nearest.h), and float32 for rows of few columns
// (short_nearest.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/types.h"
#include "base/view.h"

namespace nearfield {

/// What rows are compared with.
struct Centroids {
    MatrixView<float> rows;
    bool spherical = false;  // score <x, c> instead of -|x - c|^2
    /// Per centroid, subtracted from every score; empty: nothing. See balance.h.
    std::vector<double> price{};
};

/// Equal for equal vectors; 0 and -0 are equal.
std::uint64_t hash_of(const float* x, std::size_t dim) noexcept;

/// Centroids that equal an earlier one, price included: they never win.
std::vector<bool> repeated(const Centroids& centroids);

/// The power of two that brings the longest to about 1.
double unit_of(const Centroids& centroids);

/// The score that decides.
double exact_key(const Centroids& centroids, const float* row, std::size_t centroid) noexcept;

class NearestCentroid {
public:
    virtual ~NearestCentroid() = default;

    /// Writes the nearest centroid of every row and, unless keys is null, its exact key. guessed: `nearest`
    /// holds a likely answer (any valid number is safe), which makes the search several times cheaper.
    /// Returns how many entries of `nearest` have changed.
    virtual std::size_t find(const Centroids& centroids, bool guessed, Id* nearest, double* keys,
                             int threads) = 0;

    /// |x|^2 of every row.
    virtual const double* squared_norms() const noexcept = 0;
};

/// `rows` must outlive the result. largest_centroid: an upper bound of the centroids' norms beyond
/// those of rows. std::invalid_argument names the first row that is not finite.
std::unique_ptr<NearestCentroid> make_nearest(MatrixView<float> rows, bool spherical,
                                              double largest_centroid, int threads);

/// |x|^2 of every row; std::invalid_argument names the first row that is not finite, as a `what`.
std::vector<double> squared_norms_of(MatrixView<float> rows, const char* what, int threads);

}  // namespace nearfield
