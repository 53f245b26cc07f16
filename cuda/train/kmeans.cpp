#include "cuda/train/kmeans.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "cuda/runtime/launch.h"
#include "cuda/train/lloyd.h"
#include "cuda/train/nearest.h"
#include "cuda/train/shared_nearest.h"
#include "cuda/train/transfer.h"
#include "quant/kmeans/clusters.h"
#include "quant/kmeans/lloyd.h"
#include "quant/kmeans/starts.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr std::size_t kMostRows = std::numeric_limits<u32>::max() - 1;
constexpr unsigned kThreads = 128;

void check_device_clustering(const DeviceRows& rows, const KMeansOptions& options) {
    check_clustering(rows.rows, rows.cols, options);
    if (options.balance != 0.0) {
        throw std::invalid_argument(
            "balanced: got clusters of bounded size on a device, expected none there; cluster on "
            "the CPU");
    }
    if (rows.rows > kMostRows) {
        throw std::invalid_argument("rows: got " + std::to_string(rows.rows) +
                                    ", expected fewer than 2**32 - 1 on a device");
    }
    if (options.start.rows != 0) squared_norms_of(options.start, "start: row", 1);
}

DeviceLloyd grown(const Points& points, const KMeansOptions& options,
                  std::vector<float> centroids) {
    DeviceLloyd state;
    state.centroids = std::move(centroids);
    for (const std::vector<Id>& ids : growing_samples(points.rows().rows, options)) {
        run_lloyd(points.chosen(ids), sample_options(options), state);
        state.inertia.clear();
    }
    return state;
}

/// sqrt(k) clusters, each cut into as many as its size deserves.
DeviceLloyd parts_of(const Points& points, const KMeansOptions& options) {
    const KMeansOptions coarse = coarse_options(options);
    DeviceLloyd state;
    state.centroids = starting_centroids(points.source(), coarse);
    run_lloyd(points, coarse, state);
    const std::size_t n = points.rows().rows;
    const auto labels = downloaded<Id>(points.stream(), state.nearest.address(), n);
    std::vector<Id> all(n);
    std::iota(all.begin(), all.end(), Id{0});
    const Clusters parts = group(all, labels.data(), coarse.k);
    std::vector<std::size_t> sizes(coarse.k);
    for (std::size_t j = 0; j < coarse.k; ++j) sizes[j] = parts.size(j);
    const std::vector<std::size_t> shares = allot(sizes, options.k);
    state = {};
    for (std::size_t part = 0; part < coarse.k; ++part) {
        if (sizes[part] == 0) continue;
        const Points some = points.chosen({parts.rows.data() + parts.begin[part], sizes[part]});
        const KMeansOptions own = part_options(options, shares[part], part);
        DeviceLloyd found;
        found.centroids = starting_centroids(some.source(), own);
        run_lloyd(some, own, found);
        state.centroids.insert(state.centroids.end(), found.centroids.begin(),
                               found.centroids.end());
    }
    return state;
}

double inertia_of(const Points& points, const KMeansOptions& options, const DeviceLloyd& state,
                  CUdeviceptr centroids) {
    const StreamRef& stream = points.stream();
    const DeviceRows& rows = points.rows();
    const DeviceBuffer keys(stream, rows.rows * sizeof(double));
    const std::string name = std::string("keys_of_nearest_") + suffix(rows.dtype);
    launch(stream, {"cluster_rows.cu", name.c_str()},
           {{blocks_for(rows.rows, kThreads / 32), 1, 1}, {kThreads, 1, 1}, 0}, rows.address,
           u64{rows.stride}, static_cast<u32>(rows.rows), centroids, static_cast<u32>(rows.cols),
           kernel_metric(metric_of(options)), state.nearest.address(), keys.address());
    const auto found = downloaded<double>(stream, keys.address(), rows.rows);
    std::vector<Id> labels;
    if (options.spherical) labels = downloaded<Id>(stream, state.nearest.address(), rows.rows);
    const Centroids all{{state.centroids.data(), options.k, rows.cols}, options.spherical};
    return objective(all, found, points.squared().data(), labels.data());
}

DeviceLloyd clustered(const Points& points, const KMeansOptions& options) {
    DeviceLloyd state;
    KMeansOptions over_all = options;
    if (options.hierarchical && options.k >= kFewestInParts) {
        state = parts_of(points, options);
        over_all.iterations = kRefinements;
    } else {
        state.centroids = starting_centroids(points.source(), options);
        if (options.growing) state = grown(points, options, std::move(state.centroids));
    }
    run_lloyd(points, over_all, state);
    return state;
}

/// Assigns all rows to the final centroids; returns the inertia.
double label(const Points& points, const KMeansOptions& options, const DeviceLloyd& state,
             CUdeviceptr labels) {
    const DeviceBuffer centroids =
        uploaded(points.stream(), state.centroids.data(), state.centroids.size());
    const SharedNearest search(points, options.k, metric_of(options));
    search.run(centroids.address(), state.nearest.address(), labels);
    return inertia_of(points, options, state, centroids.address());
}

}  // namespace

KMeansResult kmeans(const StreamRef& stream, const DeviceRows& rows, const KMeansOptions& options,
                    CUdeviceptr labels, std::span<const StreamRef> others) {
    check_device_clustering(rows, options);
    const Points points(stream, rows, others);
    DeviceLloyd state = clustered(points, options);
    KMeansResult result;
    if (labels != 0) result.final_inertia = label(points, options, state, labels);
    result.centroids = std::move(state.centroids);
    result.inertia = std::move(state.inertia);
    return result;
}

KMeansResult kmeans(const StreamRef& stream, MatrixView<float> rows, const KMeansOptions& options) {
    const std::size_t row_bytes = rows.cols * sizeof(float);
    DeviceRows there{0, rows.rows, rows.cols, rows.cols, DType::kF32};
    check_device_clustering(there, options);
    const DeviceBuffer copy(stream, rows.rows * row_bytes);
    for (std::size_t i = 0; i < rows.rows; ++i) {
        const std::size_t count = rows.stride == row_bytes ? rows.rows : 1;
        copy_to_device(stream, copy.address() + i * row_bytes, rows.row(i), count * row_bytes);
        if (count != 1) break;
    }
    there.address = copy.address();
    const DeviceBuffer labels(stream, options.label_rows ? rows.rows * sizeof(std::int64_t) : 0);
    KMeansResult result = kmeans(stream, there, options, labels.address());
    if (options.label_rows) {
        const auto wide = downloaded<std::int64_t>(stream, labels.address(), rows.rows);
        result.labels.reserve(wide.size());
        for (const std::int64_t one : wide) result.labels.push_back(static_cast<Id>(one));
    }
    return result;
}

std::size_t assign_scratch_bytes(const DeviceRows& rows, std::size_t k) {
    Scratch scratch;
    scratch.take(rows.rows * sizeof(u32));
    const DeviceNearest search(rows, k, Metric::kL2, scratch);
    return scratch.bytes();
}

void assign(const StreamRef& stream, const DeviceRows& rows, CUdeviceptr centroids, std::size_t k,
            bool spherical, CUdeviceptr labels, CUdeviceptr at) {
    Scratch scratch;
    const std::size_t nearest = scratch.take(rows.rows * sizeof(u32));
    const DeviceNearest search(rows, k, spherical ? Metric::kIp : Metric::kL2, scratch);
    search.run(stream, centroids, at + nearest, labels, at);
}

}  // namespace nearfield::cuda
