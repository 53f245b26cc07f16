// From assigned rows to centroids: means, and new homes for empty clusters.
//
// Rows are grouped by cluster (a counting sort) and added up in float64 in their order, in segments of
// fixed length, so that sums do not depend on threads and a huge cluster is shared by all of them. After
// the first iterations few rows change their cluster: only those are subtracted and added.
// An empty cluster takes half of the largest: both centroids move away from the old one, in opposite
// directions along the way to one of its rows. Source: own; splitting the largest as FAISS does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/types.h"
#include "quant/kmeans/kmeans.h"
#include "quant/kmeans/nearest.h"
#include "quant/kmeans/row_source.h"

namespace nearfield {

/// Rows of a cluster that are added up at a time, before they are added to its sum.
inline constexpr std::size_t kSumSegment = 4096;

/// Whether sums stay good while rows leave them: none may be much longer than most, or what it leaves
/// behind is rounding error. squared: |x|^2 of n rows.
bool may_subtract(const double* squared, std::size_t n);

/// Of n rows, whether those that moved are fewer to add than all.
constexpr bool few_moved(std::size_t moved, std::size_t n) noexcept { return moved < n / 3; }

/// Rows grouped by cluster, each group in rising order: those of j are rows[begin[j] .. begin[j + 1]).
struct Clusters {
    std::vector<Id> rows;
    std::vector<std::size_t> begin;

    std::size_t size(std::size_t j) const noexcept { return begin[j + 1] - begin[j]; }
};

/// Row i of `rows` belongs to cluster of[rows[i]].
Clusters group(const std::vector<Id>& rows, const Id* of, std::size_t k);

/// The sum of every cluster's rows, kept up to date by the rows that change theirs.
class ClusterSums {
public:
    /// squared: |x|^2 of every row.
    ClusterSums(MatrixView<float> rows, std::size_t k, const double* squared);

    /// From one assignment to the next; `before` is null for the first.
    void assign(const Id* before, const Id* now, int threads);

    const std::vector<std::size_t>& sizes() const noexcept { return sizes_; }

    /// Writes the mean of every cluster, at unit length if spherical; an empty cluster and one whose
    /// rows cancel out keep their centroid. Returns the sum over all rows of |x - c|^2 - |x|^2 for the
    /// old centroids.
    double means(const Centroids& old, float* next, int threads) const;

private:
    void add(const std::vector<Id>& moved, const Id* clusters, double sign, int threads);

    MatrixView<float> rows_;
    bool may_subtract_;
    std::vector<std::size_t> sizes_;
    std::vector<double> sums_;  // k x dim
};

/// Gives every empty cluster half of a large one; returns how many there were.
std::size_t fill_empty(const RowSource& rows, const std::vector<std::size_t>& sizes,
                       const Id* nearest, const KMeansOptions& options, std::uint64_t stream,
                       float* centroids);

/// Brings k vectors to unit length; zero vectors stay.
void normalise(float* centroids, std::size_t k, std::size_t dim) noexcept;

}  // namespace nearfield
