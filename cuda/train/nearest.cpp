#include "cuda/train/nearest.h"

#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/train/transfer.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr unsigned kThreads = 128;
constexpr unsigned kExactThreads = 64;  // most rows are proven, and their blocks leave at once
constexpr std::size_t kWarps = kThreads / 32;
constexpr std::size_t kAlign = 16;  // elements of a rounded centroid
constexpr std::size_t kCentroidsOfTile = 128;

}  // namespace

DeviceNearest::DeviceNearest(const DeviceRows& rows, std::size_t k, Metric metric, Scratch& scratch,
                             std::size_t rows_at_once)
    : blocks_(rows, rows_at_once, scratch),
      dim_(rows.cols),
      k_(k),
      metric_(metric),
      rounded_stride_(round_up(rows.cols, kAlign)),
      norms_(scratch.take(k * sizeof(double))),
      bias_(scratch.take(k * sizeof(float))),
      limits_(scratch.take(2 * sizeof(float))),
      rounded_(scratch.take(is_half() ? k * rounded_stride_ * size_of(blocks_.dtype()) : 0)),
      margin_(scratch.take(blocks_.size() * sizeof(float))),
      lead_(scratch.take(blocks_.size() * sizeof(float))) {}

bool DeviceNearest::is_half() const noexcept {
    return blocks_.dtype() == DType::kF16 || blocks_.dtype() == DType::kBF16;
}

void DeviceNearest::run(const StreamRef& stream, CUdeviceptr centroids, CUdeviceptr nearest,
                        CUdeviceptr labels, CUdeviceptr at) const {
    const std::size_t rows = blocks_.rows().rows;
    if (rows == 0) return;
    prepare_centroids(stream, centroids, at);
    for (std::size_t first = 0; first < rows; first += blocks_.size()) {
        const DeviceRows some = blocks_.block(stream, first, at);
        const CUdeviceptr found = nearest + first * sizeof(u32);
        propose(stream, some, centroids, found, at);
        decide(stream, some, centroids, found,
               labels != 0 ? labels + first * sizeof(std::int64_t) : 0, at);
    }
}

void DeviceNearest::prepare_centroids(const StreamRef& stream, CUdeviceptr centroids,
                                      CUdeviceptr at) const {
    clear(stream, at + limits_, 2 * sizeof(float));
    const Grid grid{{blocks_for(k_, kWarps), 1, 1}, {kThreads, 1, 1}, 0};
    const auto k = static_cast<u32>(k_);
    const auto dim = static_cast<u32>(dim_);
    const CUdeviceptr bias = metric_ == Metric::kL2 ? at + bias_ : 0;
    const std::string name =
        std::string(is_half() ? "round_rows_" : "row_constants_") + suffix(blocks_.dtype());
    if (is_half()) {
        launch(stream, {"row_constants.cu", name.c_str()}, grid, centroids, u64{dim_}, k, dim,
               kernel_metric(metric_), at + rounded_, u64{rounded_stride_}, at + norms_,
               CUdeviceptr{0}, bias, at + limits_);
    } else {
        launch(stream, {"row_constants.cu", name.c_str()}, grid, centroids, u64{dim_}, k, dim,
               kernel_metric(metric_), at + norms_, CUdeviceptr{0}, bias, at + limits_);
    }
}

void DeviceNearest::propose(const StreamRef& stream, const DeviceRows& some, CUdeviceptr centroids,
                            CUdeviceptr nearest, CUdeviceptr at) const {
    const std::string type = suffix(blocks_.dtype());
    const auto count = static_cast<u32>(some.rows);
    const std::string margins = "point_margins_" + type;
    launch(stream, {"prepare_queries.cu", margins.c_str()},
           {{blocks_for(some.rows, kWarps), 1, 1}, {kThreads, 1, 1}, 0}, some.address,
           u64{some.stride}, count, static_cast<u32>(some.cols), kernel_metric(metric_),
           at + limits_, at + margin_);
    const std::size_t tile = is_half() ? 128 : 64;
    const std::size_t size = size_of(some.dtype);
    const std::string name = "nearest_" + type;
    launch(stream, {is_half() ? "nearest_halves.cu" : "nearest_f32.cu", name.c_str()},
           {{blocks_for(some.rows, tile), 1, 1}, {256, 1, 1}, 240 * (tile + kCentroidsOfTile)},
           some.address, u64{some.stride * size}, count, is_half() ? at + rounded_ : centroids,
           u64{(is_half() ? rounded_stride_ : some.cols) * size}, static_cast<u32>(k_),
           static_cast<u32>(some.cols * size), CUdeviceptr{0},
           metric_ == Metric::kL2 ? at + bias_ : 0, nearest, at + lead_);
}

void DeviceNearest::decide(const StreamRef& stream, const DeviceRows& some, CUdeviceptr centroids,
                           CUdeviceptr nearest, CUdeviceptr labels, CUdeviceptr at) const {
    const std::string type = suffix(blocks_.dtype());
    const auto dim = static_cast<u32>(some.cols);
    const std::string exact = "nearest_exact_" + type;
    launch(stream, {"clusters.cu", exact.c_str()},
           {{static_cast<unsigned>(some.rows), 1, 1}, {kExactThreads, 1, 1}, 0}, some.address,
           u64{some.stride}, centroids, u64{some.cols}, static_cast<u32>(k_), dim,
           kernel_metric(metric_), at + norms_, at + lead_, at + margin_, nearest);
    if (labels == 0) return;
    const std::string name = "labels_of_nearest_" + type;
    launch(stream, {"cluster_rows.cu", name.c_str()},
           {{blocks_for(some.rows, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, some.address,
           u64{some.stride}, static_cast<u32>(some.rows), dim, at + margin_, nearest, labels);
}

}  // namespace nearfield::cuda
