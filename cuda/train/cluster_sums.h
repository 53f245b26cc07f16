// The sums of clusters on a device, from one assignment to the next, and the means of them.
//
// What ClusterSums of cpp/quant/kmeans does, in the same order of sums and by the same rule of when all rows
// are added anew: the same bits. Waits once an iteration, to learn how many rows moved.
// Cost: one read of the rows that moved, or of all; 24 bytes of scratch memory a row, and 8 dim bytes for each
// cluster twice and for each kSumSegment rows. Source: kernels/cluster_sums.cu.
#pragma once

#include <vector>

#include "cuda/search/request.h"
#include "cuda/train/stable_sort.h"

namespace nearfield::cuda {

class DeviceSums {
public:
    /// may_subtract: as cpp/quant/kmeans/clusters.h has it.
    DeviceSums(const DeviceRows& rows, std::size_t k, bool may_subtract, Scratch& scratch);

    /// From one assignment to the next, u32 a row; `before` is 0 for the first. Returns how many rows moved.
    std::size_t assign(const StreamRef& stream, CUdeviceptr before, CUdeviceptr now,
                       CUdeviceptr scratch) const;

    /// Writes k means, dense float32; waits. Returns the sum of |x - c|^2 - |x|^2 for the old centroids.
    double means(const StreamRef& stream, CUdeviceptr old, bool spherical, CUdeviceptr next,
                 CUdeviceptr scratch) const;

    /// Rows of every cluster; waits.
    std::vector<std::size_t> sizes(const StreamRef& stream, CUdeviceptr scratch) const;

private:
    void clear(const StreamRef& stream, CUdeviceptr scratch) const;
    void add(const StreamRef& stream, CUdeviceptr clusters, double sign, CUdeviceptr scratch) const;

    DeviceRows rows_;
    std::size_t k_;
    bool may_subtract_;
    StableSort sort_;
    std::size_t from_, to_, moved_;               // of rows
    std::size_t sums_, partial_, sizes_, share_;  // of clusters
};

}  // namespace nearfield::cuda
