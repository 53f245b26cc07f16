#include "quant/kmeans/lloyd.h"

#include <algorithm>
#include <numeric>

#include "quant/kmeans/clusters.h"

namespace nearfield {
bool has_settled(const std::vector<double>& inertia, double tolerance) noexcept {
    const std::size_t n = inertia.size();
    if (n < 2 || !(tolerance > 0.0)) return false;
    return inertia[n - 2] - inertia[n - 1] < tolerance * inertia[n - 2];
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
            fill_empty(source_of(rows), sums.sizes(), state.nearest.data(), options,
                       kSplitStream + static_cast<std::uint64_t>(i), next.data());
        state.centroids.swap(next);
        means = empty == 0;
        if (i != 0 && has_settled(state.inertia, options.tolerance)) return;
    }
}

}  // namespace nearfield
