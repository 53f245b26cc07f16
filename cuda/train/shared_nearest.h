// The nearest centroid of points that several devices share: what DeviceNearest finds, the same numbers.
//
// A point's centroid depends on that point alone, so every split of the points finds the same. Each device
// gets the centroids and sends its numbers to the first; streams wait for each other, the host does not.
// Cost: that of DeviceNearest for the points of a device; copies of k dim floats and of 4 bytes a point, 12
// with labels, and 12 bytes of memory a point on other devices. Source: own.
#pragma once

#include <memory>
#include <vector>

#include "cuda/train/nearest.h"
#include "cuda/train/points.h"

namespace nearfield::cuda {

class SharedNearest {
public:
    /// k centroids of as many columns as the points, which must stay. metric: l2 or ip.
    SharedNearest(const Points& points, std::size_t k, Metric metric);
    /// Waits for the other devices: whatever run() was given may be freed after this, and not before.
    ~SharedNearest();
    SharedNearest(const SharedNearest&) = delete;
    SharedNearest& operator=(const SharedNearest&) = delete;

    /// Enqueues it; arguments as those of DeviceNearest::run(), of all points, on the first device.
    void run(CUdeviceptr centroids, CUdeviceptr nearest, CUdeviceptr labels) const;

private:
    class Away;

    StreamRef home_;
    Scratch scratch_;
    DeviceNearest own_;
    DeviceBuffer work_;
    std::vector<std::unique_ptr<Away>> away_;
};

}  // namespace nearfield::cuda
