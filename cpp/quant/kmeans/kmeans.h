// KMeans: Lloyd's algorithm, for coarse quantizers, codebooks and users.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/types.h"
#include "base/view.h"

namespace nearfield {

struct KMeansOptions {
    std::size_t k = 0;
    int iterations = 25;
    std::uint64_t seed = 0;
    bool spherical = false;  // unit centroids, rows assigned by inner product
    /// Stops after an iteration that lowers the inertia by less than this share; 0: only when no row
    /// changes its cluster.
    double tolerance = 1e-4;
    /// k centroids to start from; empty: rows drawn at random, without repeating one while others are left.
    MatrixView<float> start{};
    /// For large k: clusters of clusters first, then two iterations over everything. `iterations` is
    /// that of the clusters of clusters. Without start.
    bool hierarchical = false;
    /// Iterations over a tenth and three tenths of the rows come before those over all. Not with
    /// hierarchical.
    bool growing = false;
    /// The most rows of a cluster, as a multiple of the mean, at least 1; 0: any number. Labels are then not
    /// those of the nearest centroids, see balance.h.
    double balance = 0.0;
    /// Also assign every row to the final centroids.
    bool label_rows = false;
};

struct KMeansResult {
    std::vector<float> centroids;  // k x dim
    std::vector<double> inertia;   // after each iteration; see objective() in lloyd.h
    // Under label_rows:
    std::vector<Id> labels;
    double final_inertia = 0.0;  // of these labels and the final centroids
};

/// std::invalid_argument for options that do not fit so many rows and columns, or each other.
void check_clustering(std::size_t rows, std::size_t cols, const KMeansOptions& options);

/// The same for any number of threads and any level. std::invalid_argument for k = 0 or more than
/// rows.rows, or rows that are not finite.
KMeansResult kmeans(MatrixView<float> rows, const KMeansOptions& options, int threads);

/// kmeans(), or what does the same elsewhere.
using Clustering =
    std::function<KMeansResult(MatrixView<float>, const KMeansOptions&, int threads)>;

/// The nearest centroid of every row (ties: the smaller number) and its score, larger is better: minus
/// the squared distance, or the inner product if spherical. scores may be null.
void assign(MatrixView<float> rows, MatrixView<float> centroids, bool spherical, Id* nearest,
            float* scores, int threads);

}  // namespace nearfield
