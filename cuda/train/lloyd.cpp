#include "cuda/train/lloyd.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/interrupt.h"
#include "cuda/train/cluster_sums.h"
#include "cuda/train/shared_nearest.h"
#include "cuda/train/transfer.h"
#include "quant/kmeans/clusters.h"
#include "quant/kmeans/lloyd.h"

namespace nearfield::cuda {
namespace {

/// Gives empty clusters halves of large ones, on the host; returns whether there were any.
bool fill(const Points& points, const std::vector<std::size_t>& sizes, CUdeviceptr nearest,
          const KMeansOptions& options, std::uint64_t stream, CUdeviceptr centroids) {
    if (std::find(sizes.begin(), sizes.end(), std::size_t{0}) == sizes.end()) return false;
    const StreamRef& on = points.stream();
    const auto labels = downloaded<Id>(on, nearest, points.rows().rows);
    auto values = downloaded<float>(on, centroids, options.k * points.rows().cols);
    fill_empty(points.source(), sizes, labels.data(), options, stream, values.data());
    copy_to_device(on, centroids, values.data(), values.size() * sizeof(float));
    return true;
}

}  // namespace

Metric metric_of(const KMeansOptions& options) noexcept {
    return options.spherical ? Metric::kIp : Metric::kL2;
}

void run_lloyd(const Points& points, const KMeansOptions& options, DeviceLloyd& state) {
    const StreamRef& stream = points.stream();
    const DeviceRows& rows = points.rows();
    const std::vector<double>& squared = points.squared();
    Scratch scratch;
    const DeviceSums sums(rows, options.k, may_subtract(squared.data(), squared.size()), scratch);
    const DeviceBuffer work(stream, scratch.bytes());
    const CUdeviceptr at = work.address();
    DeviceBuffer current = uploaded(stream, state.centroids.data(), state.centroids.size());
    DeviceBuffer next(stream, current.bytes());
    DeviceBuffer before(stream, rows.rows * sizeof(Id));
    state.nearest = DeviceBuffer(stream, rows.rows * sizeof(Id));
    // After the memory that other devices read: it ends before that is freed.
    const SharedNearest search(points, options.k, metric_of(options));
    const double total = std::accumulate(squared.begin(), squared.end(), 0.0);
    bool means = false;  // the centroids are the means of the last assignment
    for (int i = 0; i < options.iterations; ++i) {
        checkpoint();
        std::swap(before, state.nearest);
        search.run(current.address(), state.nearest.address(), 0);
        const std::size_t moved =
            sums.assign(stream, i == 0 ? 0 : before.address(), state.nearest.address(), at);
        const double difference =
            sums.means(stream, current.address(), options.spherical, next.address(), at);
        state.inertia.push_back(std::max(0.0, total + difference));
        if (means && moved == 0) break;
        means = !fill(points, sums.sizes(stream, at), state.nearest.address(), options,
                      kSplitStream + static_cast<std::uint64_t>(i), next.address());
        std::swap(current, next);
        if (i != 0 && has_settled(state.inertia, options.tolerance)) break;
    }
    state.centroids = downloaded<float>(stream, current.address(), state.centroids.size());
}

}  // namespace nearfield::cuda
