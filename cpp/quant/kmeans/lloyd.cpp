#include "quant/kmeans/lloyd.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>
#include <utility>

#include "base/random.h"
#include "quant/kmeans/clusters.h"

namespace nearfield {
namespace {

/// Streams of the seed.
constexpr std::uint64_t kStartStream = 0;
constexpr std::uint64_t kSplitStream = 1;  // and on, one an iteration

}  // namespace

std::vector<float> starting_centroids(MatrixView<float> rows, const KMeansOptions& options) {
    const std::size_t dim = rows.cols;
    std::vector<float> out;
    out.reserve(options.k * dim);
    if (options.start.rows != 0) {
        for (std::size_t j = 0; j < options.k; ++j) {
            out.insert(out.end(), options.start.row(j), options.start.row(j) + dim);
        }
    } else {
        std::vector<Id> order(rows.rows);
        std::iota(order.begin(), order.end(), Id{0});
        Random random(options.seed, kStartStream);
        std::unordered_set<std::uint64_t> seen;
        std::vector<Id> again;  // repeated rows, for when there is nothing else
        std::size_t taken = 0;
        for (std::size_t i = 0; i < order.size() && taken < options.k; ++i) {
            std::swap(order[i],
                      order[i + static_cast<std::size_t>(random.below(order.size() - i))]);
            const float* x = rows.row(order[i]);
            if (!seen.insert(hash_of(x, dim)).second) {
                again.push_back(order[i]);
                continue;
            }
            out.insert(out.end(), x, x + dim);
            ++taken;
        }
        for (std::size_t i = 0; taken < options.k; ++i, ++taken) {
            out.insert(out.end(), rows.row(again[i]), rows.row(again[i]) + dim);
        }
    }
    if (options.spherical) normalise(out.data(), options.k, dim);
    return out;
}

void run_lloyd(MatrixView<float> rows, NearestCentroid& search, const KMeansOptions& options,
               int threads, LloydState& state) {
    const std::size_t dim = rows.cols;
    const double* squared = search.squared_norms();
    const double total = std::accumulate(squared, squared + rows.rows, 0.0);
    bool guessed = !state.nearest.empty();
    state.nearest.resize(rows.rows);
    ClusterSums sums(rows, options.k, squared);
    std::vector<float> next(state.centroids.size());
    std::vector<Id> before;
    bool means = false;  // the centroids are the means of the last assignment
    for (int i = 0; i < options.iterations; ++i) {
        const Centroids current{{state.centroids.data(), options.k, dim}, options.spherical};
        if (i != 0) before = state.nearest;
        const std::size_t changed =
            search.find(current, guessed, state.nearest.data(), nullptr, threads);
        guessed = true;
        sums.assign(i == 0 ? nullptr : before.data(), state.nearest.data(), threads);
        const double difference = sums.means(current, next.data(), threads);
        state.inertia.push_back(std::max(0.0, total + difference));
        if (means && changed == 0) return;
        const std::size_t empty =
            fill_empty(rows, sums.sizes(), state.nearest.data(), options,
                       kSplitStream + static_cast<std::uint64_t>(i), next.data());
        state.centroids.swap(next);
        means = empty == 0;
        const std::size_t n = state.inertia.size();
        if (n < 2 || i == 0) continue;
        const double gain = state.inertia[n - 2] - state.inertia[n - 1];
        if (options.tolerance > 0.0 && gain < options.tolerance * state.inertia[n - 2]) return;
    }
}

}  // namespace nearfield
