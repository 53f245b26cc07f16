// The nearest centroid of rows on a device: what cpp/quant/kmeans/nearest.h finds, the same numbers.
//
// Tensor cores propose in the rows' own type; rows whose lead is within the bound of what that rounds are
// compared with all centroids in float64, ties to the smaller number. Nothing is decided on the host and
// nothing waits.
// Cost: 2 rows centroids dim operations, and float64 ones for what is not proven; 8 bytes of scratch memory
// for each of at most kRowsAtOnce rows, and for rows of bytes a float32 copy of fewer.
// Source: kernels/nearest.cuh.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/train/row_blocks.h"

namespace nearfield::cuda {

class DeviceNearest {
public:
    static constexpr std::size_t kRowsAtOnce = std::size_t{1} << 20;

    /// k centroids of as many columns as the rows. metric: l2 or ip.
    DeviceNearest(const DeviceRows& rows, std::size_t k, Metric metric, Scratch& scratch,
                  std::size_t rows_at_once = kRowsAtOnce);

    /// Enqueues it. centroids: k x cols float32; nearest: a u32 a row; labels: an int64 a row, the smallest
    /// of them for a row that is not finite, or 0.
    void run(const StreamRef& stream, CUdeviceptr centroids, CUdeviceptr nearest,
             CUdeviceptr labels, CUdeviceptr scratch) const;

private:
    bool is_half() const noexcept;
    void prepare_centroids(const StreamRef& stream, CUdeviceptr centroids,
                           CUdeviceptr scratch) const;
    void propose(const StreamRef& stream, const DeviceRows& some, CUdeviceptr centroids,
                 CUdeviceptr nearest, CUdeviceptr scratch) const;
    void decide(const StreamRef& stream, const DeviceRows& some, CUdeviceptr centroids,
                CUdeviceptr nearest, CUdeviceptr labels, CUdeviceptr scratch) const;

    RowBlocks blocks_;
    std::size_t dim_, k_;
    Metric metric_;
    std::size_t rounded_stride_;
    std::size_t norms_, bias_, limits_, rounded_;  // of centroids
    std::size_t margin_, lead_;                    // of rows
};

}  // namespace nearfield::cuda
