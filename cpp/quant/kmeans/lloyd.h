// Lloyd's iterations: assign, average, repeat.
#pragma once

#include <cstddef>
#include <vector>

#include "quant/kmeans/kmeans.h"
#include "quant/kmeans/nearest.h"

namespace nearfield {

/// Where the iterations stand; they can be continued.
struct LloydState {
    std::vector<float> centroids;  // k x dim
    std::vector<Id> nearest;       // of every row; empty before the first assignment
    std::vector<double> inertia;   // after each iteration
};

/// Runs until options say stop. `search` holds the rows.
void run_lloyd(MatrixView<float> rows, NearestCentroid& search, const KMeansOptions& options,
               int threads, LloydState& state);

}  // namespace nearfield
