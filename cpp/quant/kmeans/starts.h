// Where Lloyd's iterations begin: given centroids, rows drawn at random, or clusters of clusters.
//
// Hierarchical: sqrt(k) clusters first, each then cut into as many as its size deserves. What a row is
// compared with falls from k to about 2 sqrt(k) centroids; two iterations over everything then mend the
// boundaries. glove100, k = 16,384: a third of the time of ten iterations, inertia about 2 % larger; below
// some thousands of clusters it gains nothing.
// Growing: iterations over a tenth of the rows, then over three tenths. Pays with more than some hundred rows
// a cluster: the first iteration over any rows costs as much as two (decision 0007).
// Source: own; the allotment is Sainte-Lague's method of highest averages.
#pragma once

#include <vector>

#include "quant/kmeans/lloyd.h"
#include "quant/kmeans/row_source.h"

namespace nearfield {

/// options.start, or k rows drawn at random.
std::vector<float> starting_centroids(const RowSource& rows, const KMeansOptions& options);

/// With fewer clusters there is no hierarchy to gain from.
inline constexpr std::size_t kFewestInParts = 16;
/// Iterations over all rows after a hierarchical start.
inline constexpr int kRefinements = 2;

/// Centroids and the cluster of every row. `search` holds the rows.
LloydState hierarchical_start(MatrixView<float> rows, NearestCentroid& search,
                              const KMeansOptions& options, int threads);

/// Where centroids come to by iterations over growing samples of the rows, drawn by seed.
std::vector<float> grown(MatrixView<float> rows, const KMeansOptions& options,
                         std::vector<float> centroids, int threads);

/// Rows of each growing sample, rising numbers; without those that would be too few.
std::vector<std::vector<Id>> growing_samples(std::size_t rows, const KMeansOptions& options);
/// What iterations over a sample are told.
KMeansOptions sample_options(const KMeansOptions& options);

/// Of the clustering into parts, and of cutting one of these into k clusters.
KMeansOptions coarse_options(const KMeansOptions& options);
KMeansOptions part_options(const KMeansOptions& options, std::size_t k, std::uint64_t part);

/// How many of k each part gets by its size: at least 1 where it has any rows, at most one a row.
/// k lies between the number of parts with rows and the number of rows.
std::vector<std::size_t> allot(const std::vector<std::size_t>& sizes, std::size_t k);

}  // namespace nearfield
