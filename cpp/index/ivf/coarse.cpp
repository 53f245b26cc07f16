#include "index/ivf/coarse.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "index/ivf/flat_coarse.h"
#include "index/ivf/hierarchical_coarse.h"
#include "quant/kmeans/kmeans.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// More points a list do not make better lists.
constexpr std::size_t kPointsPerList = 256;
constexpr int kIterations = 10;
/// Rows widened and assigned at once.
constexpr std::size_t kRowsAtOnce = std::size_t{1} << 16;

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// The rows numbered by `numbers` as float32. Throws std::invalid_argument naming the first that is not
/// finite.
std::vector<float> widened(const RowsView& rows, std::span<const Id> numbers, int threads) {
    std::vector<float> out(numbers.size() * rows.cols);
    std::atomic<std::size_t> bad{SIZE_MAX};
    parallel_for(ceil_div(numbers.size(), 256), threads, [&](std::size_t block, int) {
        const std::size_t end = std::min(numbers.size(), (block + 1) * 256);
        for (std::size_t i = block * 256; i < end; ++i) {
            float* to = out.data() + i * rows.cols;
            widen_plain(rows.dtype, rows.row(numbers[i]), to, rows.cols);
            if (all_finite(to, rows.cols)) continue;
            std::size_t seen = bad.load();
            while (numbers[i] < seen && !bad.compare_exchange_weak(seen, numbers[i])) {
            }
        }
    });
    if (bad.load() != SIZE_MAX) {
        throw std::invalid_argument("row " + std::to_string(bad.load()) +
                                    " holds NaN or infinity; expected finite values: drop or "
                                    "repair that row");
    }
    return out;
}

/// At most kPointsPerList rows a list as float32, at unit length under cosine.
std::vector<float> training_sample(const RowsView& rows, Metric metric, std::size_t nlist,
                                   std::uint64_t seed, int threads) {
    if (rows.rows < nlist) {
        throw std::invalid_argument("x: got " + std::to_string(rows.rows) +
                                    " rows to train on, expected at least nlist = " +
                                    std::to_string(nlist) + ": pass more rows or use fewer lists");
    }
    const std::size_t n = std::min(rows.rows, nlist * kPointsPerList);
    std::vector<Id> order(rows.rows);
    std::iota(order.begin(), order.end(), Id{0});
    if (n < rows.rows) {
        Random random(seed);
        for (std::size_t i = 0; i < n; ++i) {
            std::swap(order[i], order[i + random.below(rows.rows - i)]);
        }
        // In the order of memory, which pages like better.
        std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n));
    }
    order.resize(n);
    std::vector<float> sample = widened(rows, order, threads);
    if (metric == Metric::kCosine) {
        parallel_for(n, threads, [&](std::size_t i, int) {
            normalise(sample.data() + i * rows.cols, rows.cols);
        });
    }
    return sample;
}

}  // namespace

std::shared_ptr<const CoarseLists> train_coarse(CoarseKind kind, const RowsView& rows,
                                                Metric metric, std::size_t nlist,
                                                std::uint64_t seed, int threads,
                                                const Clustering& clustering) {
    const std::vector<float> sample = training_sample(rows, metric, nlist, seed, threads);
    KMeansOptions options;
    options.k = nlist;
    options.iterations = kIterations;
    options.seed = seed;
    options.spherical = metric != Metric::kL2;
    options.hierarchical = kind == CoarseKind::kHierarchical;
    const MatrixView<float> points{sample.data(), sample.size() / rows.cols, rows.cols};
    std::vector<float> centroids = clustering(points, options, threads).centroids;
    if (kind == CoarseKind::kFlat) {
        return std::make_shared<const FlatCoarse>(metric, rows.cols, centroids);
    }
    const std::vector<std::uint32_t> groups =
        group_centroids(centroids, rows.cols, options, threads);
    return std::make_shared<const HierarchicalCoarse>(metric, rows.cols, centroids, groups);
}

std::vector<Id> CoarseLists::assign(const RowsView& rows, int threads) const {
    std::vector<Id> out;
    out.reserve(rows.rows);
    for (std::size_t first = 0; first < rows.rows; first += kRowsAtOnce) {
        std::vector<Id> numbers(std::min(rows.rows - first, kRowsAtOnce));
        std::iota(numbers.begin(), numbers.end(), static_cast<Id>(first));
        const std::vector<float> wide = widened(rows, numbers, threads);
        const std::vector<Id> part = nearest({wide.data(), numbers.size(), rows.cols}, 1, threads);
        out.insert(out.end(), part.begin(), part.end());
    }
    return out;
}

}  // namespace nearfield
