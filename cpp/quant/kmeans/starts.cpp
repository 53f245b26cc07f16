#include "quant/kmeans/starts.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>
#include <unordered_set>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "quant/kmeans/clusters.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// Streams of the seed; lloyd.cpp counts up from 1.
constexpr std::uint64_t kStartStream = 0;
constexpr std::uint64_t kPartStream = std::uint64_t{1} << 33;  // and on, one a part
constexpr std::uint64_t kSampleStream = std::uint64_t{1} << 35;

/// Growing samples: shares of the rows, iterations over each at most, and when these stop.
constexpr double kShares[] = {0.1, 0.3};
constexpr int kSampleIterations = 10;
constexpr double kSampleTolerance = 1e-3;
/// Fewer rows a cluster would only learn the sample.
constexpr std::size_t kFewestPerCluster = 32;

/// Iterations of the coarse clustering: its boundaries need not be settled.
constexpr int kCoarseIterations = 8;
std::vector<float> gather(MatrixView<float> rows, const Id* ids, std::size_t n) {
    std::vector<float> out(n * rows.cols);
    for (std::size_t i = 0; i < n; ++i) {
        std::copy_n(rows.row(ids[i]), rows.cols, out.data() + i * rows.cols);
    }
    return out;
}

/// Cuts one part into k clusters; returns its centroids and which of them each row belongs to.
LloydState cut(const std::vector<float>& values, std::size_t dim, KMeansOptions options,
               std::size_t k, std::uint64_t part) {
    options.k = k;
    options.seed = Random(options.seed, kPartStream + part).next();
    options.start = {};
    const MatrixView<float> rows{values.data(), values.size() / dim, dim};
    const auto search = make_nearest(rows, options.spherical, 0.0, 1);
    LloydState state;
    state.centroids = starting_centroids(rows, options);
    run_lloyd(rows, *search, options, 1, state);
    return state;
}

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

std::vector<float> grown(MatrixView<float> rows, const KMeansOptions& options,
                         std::vector<float> centroids, int threads) {
    std::vector<Id> order(rows.rows);
    std::iota(order.begin(), order.end(), Id{0});
    Random random(options.seed, kSampleStream);
    std::size_t drawn = 0;
    for (const double share : kShares) {
        const auto n = static_cast<std::size_t>(share * static_cast<double>(rows.rows));
        if (n < kFewestPerCluster * options.k) continue;
        for (; drawn < n; ++drawn) {
            const std::size_t left = order.size() - drawn;
            std::swap(order[drawn], order[drawn + static_cast<std::size_t>(random.below(left))]);
        }
        std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n));
        const std::vector<float> values = gather(rows, order.data(), n);
        const MatrixView<float> sample{values.data(), n, rows.cols};
        KMeansOptions over_sample = options;
        over_sample.iterations = std::min(options.iterations, kSampleIterations);
        over_sample.tolerance = std::max(options.tolerance, kSampleTolerance);
        // Centroids may be longer than any row of the sample.
        double largest = 0.0;
        for (std::size_t j = 0; j < options.k; ++j) {
            largest = std::max(largest, norm_of(centroids.data() + j * rows.cols, rows.cols));
        }
        LloydState state;
        state.centroids = std::move(centroids);
        const auto search = make_nearest(sample, options.spherical, largest, threads);
        run_lloyd(sample, *search, over_sample, threads, state);
        centroids = std::move(state.centroids);
    }
    return centroids;
}

std::vector<std::size_t> allot(const std::vector<std::size_t>& sizes, std::size_t k) {
    std::vector<std::size_t> shares(sizes.size());
    struct Claim {
        double average;
        std::size_t part;
        bool operator<(const Claim& other) const noexcept {
            return average < other.average || (average == other.average && part > other.part);
        }
    };
    const auto claim = [&](std::size_t part) {
        return Claim{static_cast<double>(sizes[part]) / static_cast<double>(2 * shares[part] + 1),
                     part};
    };
    std::priority_queue<Claim> claims;
    std::size_t left = k;
    for (std::size_t part = 0; part < sizes.size(); ++part) {
        if (sizes[part] == 0) continue;
        shares[part] = 1;
        --left;
        if (sizes[part] > 1) claims.push(claim(part));
    }
    for (; left > 0; --left) {
        const std::size_t part = claims.top().part;
        claims.pop();
        if (++shares[part] < sizes[part]) claims.push(claim(part));
    }
    return shares;
}

LloydState hierarchical_start(MatrixView<float> rows, NearestCentroid& search,
                              const KMeansOptions& options, int threads) {
    KMeansOptions coarse = options;
    coarse.k = static_cast<std::size_t>(std::sqrt(static_cast<double>(options.k)));
    coarse.iterations = std::min(options.iterations, kCoarseIterations);
    LloydState state;
    state.centroids = starting_centroids(rows, coarse);
    run_lloyd(rows, search, coarse, threads, state);

    std::vector<Id> all(rows.rows);
    std::iota(all.begin(), all.end(), Id{0});
    const Clusters parts = group(all, state.nearest.data(), coarse.k);
    std::vector<std::size_t> sizes(coarse.k);
    for (std::size_t j = 0; j < coarse.k; ++j) sizes[j] = parts.size(j);
    const std::vector<std::size_t> shares = allot(sizes, options.k);
    std::vector<std::size_t> first(coarse.k);
    std::exclusive_scan(shares.begin(), shares.end(), first.begin(), std::size_t{0});
    // The largest first: the last to finish should be short.
    std::vector<std::size_t> order(coarse.k);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return sizes[a] > sizes[b]; });

    state.centroids.assign(options.k * rows.cols, 0.0f);
    parallel_for(coarse.k, threads, [&](std::size_t i, int) {
        const std::size_t part = order[i];
        if (sizes[part] == 0) return;
        const Id* ids = parts.rows.data() + parts.begin[part];
        const LloydState found =
            cut(gather(rows, ids, sizes[part]), rows.cols, options, shares[part], part);
        std::copy(found.centroids.begin(), found.centroids.end(),
                  state.centroids.begin() + static_cast<std::ptrdiff_t>(first[part] * rows.cols));
        for (std::size_t r = 0; r < sizes[part]; ++r) {
            state.nearest[ids[r]] = static_cast<Id>(first[part]) + found.nearest[r];
        }
    });
    state.inertia.clear();
    return state;
}

}  // namespace nearfield
