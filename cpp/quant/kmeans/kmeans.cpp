// Checks arguments, prepares the rows, runs Lloyd's iterations.
#include "quant/kmeans/kmeans.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "base/parallel.h"
#include "quant/kmeans/balance.h"
#include "quant/kmeans/lloyd.h"
#include "quant/kmeans/nearest.h"
#include "quant/kmeans/starts.h"

namespace nearfield {
namespace {

double largest_norm(MatrixView<float> centroids, const char* what, int threads) {
    const std::vector<double> squared = squared_norms_of(centroids, what, threads);
    return squared.empty() ? 0.0 : std::sqrt(*std::max_element(squared.begin(), squared.end()));
}

}  // namespace

void check_clustering(std::size_t rows, std::size_t cols, const KMeansOptions& options) {
    if (options.k < 1 || options.k > rows) {
        throw std::invalid_argument("k: got " + std::to_string(options.k) + " for " +
                                    std::to_string(rows) +
                                    " rows, expected at least 1 and at most one per row");
    }
    if (cols == 0) throw std::invalid_argument("rows: got 0 columns, expected at least 1");
    if (options.iterations < 1) {
        throw std::invalid_argument("iterations: got " + std::to_string(options.iterations) +
                                    ", expected at least 1");
    }
    if (!(options.tolerance >= 0.0)) {
        throw std::invalid_argument("tolerance: got a negative number or NaN, expected >= 0");
    }
    if (options.balance != 0.0 && !(options.balance >= 1.0)) {
        throw std::invalid_argument(
            "balance: got a number below 1 or NaN, expected at least 1: the largest cluster as a "
            "multiple of the mean");
    }
    if (options.start.rows != 0 && options.hierarchical) {
        throw std::invalid_argument(
            "start: got centroids for a hierarchical clustering, which makes its own; expected "
            "none");
    }
    if (options.growing && options.hierarchical) {
        throw std::invalid_argument(
            "growing: got a hierarchical clustering, which does not grow; expected one of the two");
    }
    const MatrixView<float>& start = options.start;
    if (start.rows != 0 && (start.rows != options.k || start.cols != cols)) {
        throw std::invalid_argument("start: got " + std::to_string(start.rows) + " x " +
                                    std::to_string(start.cols) + " values, expected " +
                                    std::to_string(options.k) + " x " + std::to_string(cols));
    }
}

double objective(const Centroids& centroids, const std::vector<double>& keys, const double* squared,
                 const Id* labels) {
    double total = 0.0;
    if (!centroids.spherical) {
        for (const double key : keys) total -= key;
        return total;
    }
    std::vector<double> norms(centroids.rows.rows);
    for (std::size_t j = 0; j < norms.size(); ++j) {
        const float* c = centroids.rows.row(j);
        for (std::size_t d = 0; d < centroids.rows.cols; ++d) {
            norms[j] += static_cast<double>(c[d]) * static_cast<double>(c[d]);
        }
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
        total += squared[i] - 2.0 * keys[i] + norms[labels[i]];
    }
    return std::max(0.0, total);
}

KMeansResult kmeans(MatrixView<float> rows, const KMeansOptions& options, int threads) {
    check_clustering(rows.rows, rows.cols, options);
    const double largest =
        options.start.rows != 0 ? largest_norm(options.start, "start: row", threads) : 0.0;
    const auto search = make_nearest(rows, options.spherical, largest, threads);
    LloydState state;
    KMeansOptions over_all = options;
    if (options.hierarchical && options.k >= kFewestInParts) {
        state = hierarchical_start(rows, *search, options, threads);
        over_all.iterations = kRefinements;
    } else {
        state.centroids = starting_centroids(source_of(rows), options);
        if (options.growing) state.centroids = grown(rows, options, state.centroids, threads);
    }
    run_lloyd(rows, *search, over_all, threads, state);
    const bool balanced = options.balance != 0.0;
    if (balanced) balance(rows, *search, options, threads, state);
    KMeansResult result;
    if (options.label_rows) {
        const Centroids final{{state.centroids.data(), options.k, rows.cols}, options.spherical};
        std::vector<double> keys(rows.rows);
        if (balanced) {
            parallel_for(rows.rows, threads, [&](std::size_t i, int) {
                keys[i] = exact_key(final, rows.row(i), state.nearest[i]);
            });
        } else {
            search->find(final, true, state.nearest.data(), keys.data(), threads);
        }
        result.final_inertia =
            objective(final, keys, search->squared_norms(), state.nearest.data());
        result.labels = std::move(state.nearest);
    }
    result.centroids = std::move(state.centroids);
    result.inertia = std::move(state.inertia);
    return result;
}

void assign(MatrixView<float> rows, MatrixView<float> centroids, bool spherical, Id* nearest,
            float* scores, int threads) {
    if (centroids.rows == 0 || centroids.cols != rows.cols) {
        throw std::invalid_argument("centroids: got " + std::to_string(centroids.rows) + " of " +
                                    std::to_string(centroids.cols) +
                                    " columns, expected at least 1 of " +
                                    std::to_string(rows.cols));
    }
    const double largest = largest_norm(centroids, "centroid", threads);
    const auto search = make_nearest(rows, spherical, largest, threads);
    std::vector<double> keys(scores != nullptr ? rows.rows : 0);
    const Centroids all{centroids, spherical};
    search->find(all, false, nearest, scores != nullptr ? keys.data() : nullptr, threads);
    std::transform(keys.begin(), keys.end(), scores,
                   [](double key) { return static_cast<float>(key); });
}

}  // namespace nearfield
