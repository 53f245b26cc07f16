// Lloyd's iterations: assign, average, repeat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "quant/kmeans/kmeans.h"
#include "quant/kmeans/nearest.h"

namespace nearfield {

/// Streams of the seed by which an iteration splits clusters, one each; starts.cpp has others.
inline constexpr std::uint64_t kSplitStream = 1;

/// Where the iterations stand; they can be continued.
struct LloydState {
    std::vector<float> centroids;  // k x dim
    std::vector<Id> nearest;       // of every row; empty before the first assignment
    std::vector<double> inertia;   // after each iteration
};

/// Runs until options say stop. `search` holds the rows.
void run_lloyd(MatrixView<float> rows, NearestCentroid& search, const KMeansOptions& options,
               int threads, LloydState& state);

/// Whether an iteration ends the last ones: its inertia fell by less than the tolerance.
bool has_settled(const std::vector<double>& inertia, double tolerance) noexcept;

/// The sum of squared distances of rows to the centroids they are assigned to, of either kind:
/// where centroids have unit length it is least where the sum of inner products is greatest.
double objective(const Centroids& centroids, const std::vector<double>& keys, const double* squared,
                 const Id* labels);

}  // namespace nearfield
