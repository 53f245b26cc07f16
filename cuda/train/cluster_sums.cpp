#include "cuda/train/cluster_sums.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/train/transfer.h"
#include "quant/kmeans/clusters.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "cluster_sums.cu";
constexpr unsigned kThreads = 128;
constexpr std::size_t kMostSlices = 64;

}  // namespace

DeviceSums::DeviceSums(const DeviceRows& rows, std::size_t k, bool may_subtract, Scratch& scratch)
    : rows_(rows),
      k_(k),
      may_subtract_(may_subtract),
      sort_(rows.rows, k + 1, scratch),  // number k: rows that stayed
      from_(scratch.take(rows.rows * sizeof(u32))),
      to_(scratch.take(rows.rows * sizeof(u32))),
      moved_(scratch.take(sizeof(u32))),
      sums_(scratch.take(k * rows.cols * sizeof(double))),
      partial_(scratch.take((rows.rows / kSumSegment + k) * rows.cols * sizeof(double))),
      sizes_(scratch.take(k * sizeof(u32))),
      share_(scratch.take(k * sizeof(double))) {}

std::size_t DeviceSums::assign(const StreamRef& stream, CUdeviceptr before, CUdeviceptr now,
                               CUdeviceptr at) const {
    std::size_t moved = rows_.rows;
    if (before != 0) {
        cuda::clear(stream, at + moved_, sizeof(u32));
        launch(stream, {kSource, "mark_moved"},
               {{blocks_for(rows_.rows, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, before, now,
               static_cast<u32>(rows_.rows), static_cast<u32>(k_), at + from_, at + to_,
               at + moved_);
        moved = downloaded<u32>(stream, at + moved_, 1)[0];
    }
    if (before != 0 && may_subtract_ && few_moved(moved, rows_.rows)) {
        add(stream, at + from_, -1.0, at);
        add(stream, at + to_, 1.0, at);
    } else {
        clear(stream, at);
        add(stream, now, 1.0, at);
    }
    return moved;
}

void DeviceSums::clear(const StreamRef& stream, CUdeviceptr at) const {
    cuda::clear(stream, at + sums_, k_ * rows_.cols * sizeof(double));
    cuda::clear(stream, at + sizes_, k_ * sizeof(u32));
}

void DeviceSums::add(const StreamRef& stream, CUdeviceptr clusters, double sign,
                     CUdeviceptr at) const {
    sort_.run(stream, clusters, at);
    const auto k = static_cast<unsigned>(k_);
    const unsigned parts = blocks_for(rows_.cols, kThreads);
    const auto slices = static_cast<unsigned>(
        std::clamp<std::size_t>(2 * rows_.rows / (k_ * kSumSegment), 1, kMostSlices));
    const auto dim = static_cast<u32>(rows_.cols);
    const std::string name = std::string("segment_sums_") + suffix(rows_.dtype);
    launch(stream, {kSource, name.c_str()}, {{k, parts, slices}, {kThreads, 1, 1}, 0},
           rows_.address, u64{rows_.stride}, dim, sort_.order(at), sort_.offsets(at),
           static_cast<u32>(kSumSegment), at + partial_);
    launch(stream, {kSource, "add_segments"}, {{k, parts, 1}, {kThreads, 1, 1}, 0}, at + partial_,
           sort_.offsets(at), static_cast<u32>(kSumSegment), dim, sign, at + sums_, at + sizes_);
}

double DeviceSums::means(const StreamRef& stream, CUdeviceptr old, bool spherical, CUdeviceptr next,
                         CUdeviceptr at) const {
    launch(stream, {kSource, "means_of_sums"},
           {{blocks_for(k_, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, at + sums_, at + sizes_, old,
           static_cast<u32>(k_), static_cast<u32>(rows_.cols), static_cast<u32>(spherical), next,
           at + share_);
    const auto share = downloaded<double>(stream, at + share_, k_);
    return std::accumulate(share.begin(), share.end(), 0.0);
}

std::vector<std::size_t> DeviceSums::sizes(const StreamRef& stream, CUdeviceptr at) const {
    const auto sizes = downloaded<u32>(stream, at + sizes_, k_);
    return {sizes.begin(), sizes.end()};
}

}  // namespace nearfield::cuda
