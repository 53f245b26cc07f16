// Lloyd's iterations over rows on a device; cpp/quant/kmeans/lloyd.h with the rows elsewhere.
#pragma once

#include <vector>

#include "cuda/train/points.h"
#include "quant/kmeans/kmeans.h"

namespace nearfield::cuda {

struct DeviceLloyd {
    std::vector<float> centroids;  // k x dim
    DeviceBuffer nearest;          // u32 of every row
    std::vector<double> inertia;   // after each iteration
};

/// Runs until options say stop.
void run_lloyd(const Points& points, const KMeansOptions& options, DeviceLloyd& state);

/// l2, or ip if spherical.
Metric metric_of(const KMeansOptions& options) noexcept;

}  // namespace nearfield::cuda
