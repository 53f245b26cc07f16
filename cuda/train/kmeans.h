// k-means over rows on a device: the clustering of cpp/quant/kmeans, centroid for centroid the same bits.
//
// Starts are drawn, samples grown, empty clusters filled and parts cut by that code itself, which asks for the
// rows it needs; assignments (nearest.h) and sums (cluster_sums.h) are made on the device, in its order.
// Waits: once or twice an iteration, and for every sample or part.
// Cost: as cpp/quant/kmeans; 36 bytes of memory a row beside the rows. Source: kernels/nearest.cuh, own.
#pragma once

#include <span>

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"
#include "quant/kmeans/kmeans.h"

namespace nearfield::cuda {

/// labels: where an int64 a row goes, or 0. others: streams on other devices, which assign a part of the rows each
/// and change no bit. The result has centroids and inertia, and final_inertia with
/// labels. std::invalid_argument as kmeans(), and for a balance: only the CPU keeps one.
KMeansResult kmeans(const StreamRef& stream, const DeviceRows& rows, const KMeansOptions& options,
                    CUdeviceptr labels, std::span<const StreamRef> others = {});

/// Of rows in host memory, which are copied to the device; labels as kmeans() has them.
KMeansResult kmeans(const StreamRef& stream, MatrixView<float> rows, const KMeansOptions& options);

/// Bytes that assign() works in.
std::size_t assign_scratch_bytes(const DeviceRows& rows, std::size_t k);

/// Enqueues the search for the nearest of k centroids, dense float32; nothing waits. labels: an int64 a row,
/// the smallest one for a row that is not finite. scratch: aligned to 256 bytes.
void assign(const StreamRef& stream, const DeviceRows& rows, CUdeviceptr centroids, std::size_t k,
            bool spherical, CUdeviceptr labels, CUdeviceptr scratch);

}  // namespace nearfield::cuda
