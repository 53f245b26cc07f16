// KMeans by plain Lloyd iterations: a stand-in.
#include "quant/kmeans/kmeans.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/resolve.h"

namespace nearfield {

void assign(MatrixView<float> rows, MatrixView<float> centroids, bool spherical, Id* nearest,
            float* scores, int threads) {
    const auto& kernel = kernels::active();
    const std::size_t dim = rows.cols;
    const std::size_t k = round_up(centroids.rows, 4);
    std::vector<float> weights(k * dim, 0.0f);
    std::vector<float> bias(k, INFINITY);
    for (std::size_t c = 0; c < centroids.rows; ++c) {
        double norm = 0.0;
        for (std::size_t d = 0; d < dim; ++d) {
            const float v = centroids.row(c)[d];
            weights[c * dim + d] = -v;
            norm += static_cast<double>(v) * static_cast<double>(v);
        }
        bias[c] = spherical ? 0.0f : static_cast<float>(norm / 2);
    }
    const std::size_t lanes = kernels::kLanes;
    parallel_for((rows.rows + lanes - 1) / lanes, threads, [&](std::size_t block, int) {
        const std::size_t first = block * lanes;
        const std::size_t count = std::min(lanes, rows.rows - first);
        std::vector<float> x(dim * lanes);
        std::uint32_t found[kernels::kLanes];
        kernel.lanes_from_rows(rows.row(first), rows.stride, count, dim, x.data());
        kernel.nearest_lanes(x.data(), dim, weights.data(), bias.data(), k, found);
        for (std::size_t r = 0; r < count; ++r) {
            nearest[first + r] = found[r];
            if (scores == nullptr) continue;
            const float* a = rows.row(first + r);
            const float* b = centroids.row(found[r]);
            scores[first + r] = static_cast<float>(spherical ? kernel.ip_f32(a, b, dim)
                                                             : -kernel.l2_f32(a, b, dim));
        }
    });
}

KMeansResult kmeans(MatrixView<float> rows, const KMeansOptions& options, int threads) {
    const std::size_t dim = rows.cols;
    const std::size_t k = options.k;
    if (k == 0 || k > rows.rows) throw std::invalid_argument("k: got " + std::to_string(k));
    KMeansResult result;
    result.centroids.resize(k * dim);
    Random random(options.seed);
    std::vector<std::size_t> order(rows.rows);
    std::iota(order.begin(), order.end(), std::size_t{0});
    random.shuffle(order.data(), order.size());
    for (std::size_t c = 0; c < k; ++c) {
        std::copy_n(rows.row(order[c]), dim, result.centroids.data() + c * dim);
    }
    std::vector<Id> nearest(rows.rows);
    for (int iteration = 0; iteration < options.iterations; ++iteration) {
        assign(rows, {result.centroids.data(), k, dim}, options.spherical, nearest.data(), nullptr,
               threads);
        std::vector<double> sums(k * dim, 0.0);
        std::vector<std::size_t> sizes(k, 0);
        for (std::size_t i = 0; i < rows.rows; ++i) {
            ++sizes[nearest[i]];
            for (std::size_t d = 0; d < dim; ++d)
                sums[nearest[i] * dim + d] += static_cast<double>(rows.row(i)[d]);
        }
        for (std::size_t c = 0; c < k; ++c) {
            if (sizes[c] == 0) {
                const auto big = static_cast<std::size_t>(
                    std::max_element(sizes.begin(), sizes.end()) - sizes.begin());
                for (std::size_t d = 0; d < dim; ++d) {
                    const float v = result.centroids[big * dim + d];
                    const float sign = d % 2 == 0 ? 1.0f : -1.0f;
                    result.centroids[c * dim + d] = v * (1.0f + sign / 1024);
                    result.centroids[big * dim + d] = v * (1.0f - sign / 1024);
                }
                sizes[c] = sizes[big] / 2;
                sizes[big] -= sizes[c];
                continue;
            }
            for (std::size_t d = 0; d < dim; ++d) {
                result.centroids[c * dim + d] =
                    static_cast<float>(sums[c * dim + d] / static_cast<double>(sizes[c]));
            }
        }
        result.inertia.push_back(0.0);
    }
    return result;
}

}  // namespace nearfield
