// From assigned rows to centroids: means, and new homes for empty clusters.
//
// Rows are grouped by cluster (a counting sort) and added up in float64 in their order, in segments of
// fixed length, so that sums do not depend on threads and a huge cluster is shared by all of them.
// An empty cluster takes half of the largest: both centroids move away from the old one, in opposite
// directions along the way to one of its rows. Source: own; splitting the largest as FAISS does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/types.h"
#include "quant/kmeans/nearest.h"

namespace nearfield {

/// Rows grouped by cluster, each group in rising order: those of j are rows[begin[j] .. begin[j + 1]).
struct Clusters {
    std::vector<Id> rows;
    std::vector<std::size_t> begin;

    std::size_t size(std::size_t j) const noexcept { return begin[j + 1] - begin[j]; }
};

Clusters group(const Id* nearest, std::size_t rows, std::size_t k);

/// Writes the mean of every cluster, at unit length if spherical; an empty cluster and one whose rows
/// cancel out keep their centroid. Returns the sum over all rows of |x - c|^2 - |x|^2 for the old
/// centroids.
double update_centroids(MatrixView<float> rows, const Clusters& clusters, const Centroids& old,
                        float* next, int threads);

/// Gives every empty cluster half of a large one; returns how many there were.
std::size_t fill_empty(MatrixView<float> rows, const Clusters& clusters, bool spherical,
                       std::uint64_t seed, std::uint64_t stream, float* centroids);

/// Brings k vectors to unit length; zero vectors stay.
void normalise(float* centroids, std::size_t k, std::size_t dim) noexcept;

}  // namespace nearfield
