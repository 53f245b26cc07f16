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

/// All numbers below n in a random order, as far as they have been drawn.
class Draws {
public:
    Draws(std::size_t n, std::uint64_t seed, std::uint64_t stream)
        : order_(n), random_(seed, stream) {
        std::iota(order_.begin(), order_.end(), Id{0});
    }

    std::size_t left() const noexcept { return order_.size() - drawn_; }

    /// All that have been drawn, `count` of them at least; their order may be changed.
    std::span<Id> first(std::size_t count) {
        for (; drawn_ < count; ++drawn_) {
            std::swap(order_[drawn_],
                      order_[drawn_ + static_cast<std::size_t>(random_.below(left()))]);
        }
        return {order_.data(), drawn_};
    }

private:
    std::vector<Id> order_;
    std::size_t drawn_ = 0;
    Random random_;
};

/// k rows drawn at random, without repeating one while others are left.
std::vector<float> drawn_rows(const RowSource& rows, std::size_t k, std::uint64_t seed) {
    const std::size_t dim = rows.cols;
    std::vector<float> out;
    out.reserve(k * dim);
    std::unordered_set<std::uint64_t> seen;
    std::vector<Id> again;  // repeated rows, for when there is nothing else
    Draws draws(rows.rows, seed, kStartStream);
    std::size_t batch = 0, taken = 0, looked_at = 0;
    while (taken < k && draws.left() != 0) {
        // Where most rows are repeated, more and more are looked at.
        batch = std::min(std::max(k - taken, 2 * batch), draws.left());
        const auto ids = draws.first(looked_at + batch).subspan(looked_at);
        const std::vector<float> values = rows.gather(ids);
        looked_at += batch;
        for (std::size_t i = 0; i < batch && taken < k; ++i) {
            const float* x = values.data() + i * dim;
            if (!seen.insert(hash_of(x, dim)).second) {
                again.push_back(ids[i]);
                continue;
            }
            out.insert(out.end(), x, x + dim);
            ++taken;
        }
    }
    const std::vector<float> rest = rows.gather({again.data(), k - taken});
    out.insert(out.end(), rest.begin(), rest.end());
    return out;
}

/// Cuts one part into k clusters; returns its centroids and which of them each row belongs to.
LloydState cut(const std::vector<float>& values, std::size_t dim, const KMeansOptions& options) {
    const MatrixView<float> rows{values.data(), values.size() / dim, dim};
    const auto search = make_nearest(rows, options.spherical, 0.0, 1);
    LloydState state;
    state.centroids = starting_centroids(source_of(rows), options);
    run_lloyd(rows, *search, options, 1, state);
    return state;
}

}  // namespace

std::vector<float> starting_centroids(const RowSource& rows, const KMeansOptions& options) {
    std::vector<float> out;
    if (options.start.rows != 0) {
        for (std::size_t j = 0; j < options.k; ++j) {
            out.insert(out.end(), options.start.row(j), options.start.row(j) + rows.cols);
        }
    } else {
        out = drawn_rows(rows, options.k, options.seed);
    }
    if (options.spherical) normalise(out.data(), options.k, rows.cols);
    return out;
}

std::vector<std::vector<Id>> growing_samples(std::size_t rows, const KMeansOptions& options) {
    std::vector<std::vector<Id>> samples;
    Draws draws(rows, options.seed, kSampleStream);
    for (const double share : kShares) {
        const auto n = static_cast<std::size_t>(share * static_cast<double>(rows));
        if (n < kFewestPerCluster * options.k) continue;
        const std::span<Id> ids = draws.first(n);
        std::sort(ids.begin(), ids.end());
        samples.emplace_back(ids.begin(), ids.end());
    }
    return samples;
}

KMeansOptions sample_options(const KMeansOptions& options) {
    KMeansOptions over_sample = options;
    over_sample.iterations = std::min(options.iterations, kSampleIterations);
    over_sample.tolerance = std::max(options.tolerance, kSampleTolerance);
    return over_sample;
}

std::vector<float> grown(MatrixView<float> rows, const KMeansOptions& options,
                         std::vector<float> centroids, int threads) {
    const RowSource source = source_of(rows);
    for (const std::vector<Id>& ids : growing_samples(rows.rows, options)) {
        const std::vector<float> values = source.gather(ids);
        const MatrixView<float> sample{values.data(), ids.size(), rows.cols};
        // Centroids may be longer than any row of the sample.
        double largest = 0.0;
        for (std::size_t j = 0; j < options.k; ++j) {
            largest = std::max(largest, norm_of(centroids.data() + j * rows.cols, rows.cols));
        }
        LloydState state;
        state.centroids = std::move(centroids);
        const auto search = make_nearest(sample, options.spherical, largest, threads);
        run_lloyd(sample, *search, sample_options(options), threads, state);
        centroids = std::move(state.centroids);
    }
    return centroids;
}

KMeansOptions coarse_options(const KMeansOptions& options) {
    KMeansOptions coarse = options;
    coarse.k = static_cast<std::size_t>(std::sqrt(static_cast<double>(options.k)));
    coarse.iterations = std::min(options.iterations, kCoarseIterations);
    return coarse;
}

KMeansOptions part_options(const KMeansOptions& options, std::size_t k, std::uint64_t part) {
    KMeansOptions own = options;
    own.k = k;
    own.seed = Random(options.seed, kPartStream + part).next();
    own.start = {};
    return own;
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
    const RowSource source = source_of(rows);
    const KMeansOptions coarse = coarse_options(options);
    LloydState state;
    state.centroids = starting_centroids(source, coarse);
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
        const LloydState found = cut(source.gather({ids, sizes[part]}), rows.cols,
                                     part_options(options, shares[part], part));
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
