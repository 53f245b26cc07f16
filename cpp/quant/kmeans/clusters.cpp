#include "quant/kmeans/clusters.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// Rows added up by one task.
constexpr std::size_t kSegment = 4096;
/// How far the halves of a split cluster start from its centroid, as a share of the way to a row.
constexpr float kApart = 0.25f;

void add_rows(MatrixView<float> rows, const Id* ids, std::size_t n, double* sum) {
    for (std::size_t i = 0; i < n; ++i) {
        if (i + 4 < n) {
            const float* ahead = rows.row(ids[i + 4]);
            for (std::size_t d = 0; d < rows.cols; d += 16) __builtin_prefetch(ahead + d);
        }
        const float* x = rows.row(ids[i]);
        for (std::size_t d = 0; d < rows.cols; ++d) sum[d] += static_cast<double>(x[d]);
    }
}

/// From the sum of a cluster's rows to its centroid; returns its share of update_centroids' result.
double finish(const double* sum, std::size_t size, const float* old, std::size_t dim,
              bool spherical, float* next) {
    double product = 0.0;
    double squared = 0.0;
    double length = 0.0;
    for (std::size_t d = 0; d < dim; ++d) {
        const auto c = static_cast<double>(old[d]);
        product += sum[d] * c;
        squared += c * c;
        length += sum[d] * sum[d];
    }
    const double scale = spherical ? std::sqrt(length) : static_cast<double>(size);
    for (std::size_t d = 0; d < dim; ++d) {
        next[d] = scale > 0.0 ? static_cast<float>(sum[d] / scale) : old[d];
    }
    return static_cast<double>(size) * squared - 2.0 * product;
}

/// A part of one cluster.
struct Segment {
    std::size_t cluster;
    std::size_t begin;
    std::size_t end;
};

}  // namespace

Clusters group(const Id* nearest, std::size_t rows, std::size_t k) {
    Clusters out{std::vector<Id>(rows), std::vector<std::size_t>(k + 1)};
    for (std::size_t i = 0; i < rows; ++i) ++out.begin[nearest[i] + 1];
    for (std::size_t j = 0; j < k; ++j) out.begin[j + 1] += out.begin[j];
    std::vector<std::size_t> at(out.begin.begin(), out.begin.end() - 1);
    for (std::size_t i = 0; i < rows; ++i) out.rows[at[nearest[i]]++] = static_cast<Id>(i);
    return out;
}

double update_centroids(MatrixView<float> rows, const Clusters& clusters, const Centroids& old,
                        float* next, int threads) {
    const std::size_t k = old.rows.rows;
    const std::size_t dim = old.rows.cols;
    std::vector<Segment> segments;
    for (std::size_t j = 0; j < k; ++j) {
        for (std::size_t b = clusters.begin[j]; b < clusters.begin[j + 1]; b += kSegment) {
            segments.push_back({j, b, std::min(b + kSegment, clusters.begin[j + 1])});
        }
    }
    std::vector<double> share(k);
    std::vector<std::vector<double>> partial(segments.size());  // of clusters of several segments
    parallel_for(segments.size(), threads, [&](std::size_t s, int) {
        const Segment& segment = segments[s];
        const std::size_t j = segment.cluster;
        std::vector<double> sum(dim);
        add_rows(rows, clusters.rows.data() + segment.begin, segment.end - segment.begin,
                 sum.data());
        if (clusters.size(j) > kSegment) {
            partial[s] = std::move(sum);
        } else {
            share[j] = finish(sum.data(), clusters.size(j), old.rows.row(j), dim, old.spherical,
                              next + j * dim);
        }
    });
    for (std::size_t s = 0; s < segments.size(); ++s) {
        if (partial[s].empty()) continue;
        const std::size_t j = segments[s].cluster;
        std::vector<double> sum = std::move(partial[s]);
        for (; s + 1 < segments.size() && segments[s + 1].cluster == j; ++s) {
            for (std::size_t d = 0; d < dim; ++d) sum[d] += partial[s + 1][d];
        }
        share[j] = finish(sum.data(), clusters.size(j), old.rows.row(j), dim, old.spherical,
                          next + j * dim);
    }
    double total = 0.0;
    for (std::size_t j = 0; j < k; ++j) {
        total += share[j];
        if (clusters.size(j) == 0) std::copy_n(old.rows.row(j), dim, next + j * dim);
    }
    return total;
}

std::size_t fill_empty(MatrixView<float> rows, const Clusters& clusters, bool spherical,
                       std::uint64_t seed, std::uint64_t stream, float* centroids) {
    const std::size_t k = clusters.begin.size() - 1;
    const std::size_t dim = rows.cols;
    std::vector<std::size_t> empty;
    for (std::size_t j = 0; j < k; ++j) {
        if (clusters.size(j) == 0) empty.push_back(j);
    }
    if (empty.empty()) return 0;
    // Largest first, ties to the smaller number.
    std::priority_queue<std::pair<std::size_t, std::size_t>> donors;
    for (std::size_t j = 0; j < k; ++j) {
        if (clusters.size(j) > 1) donors.push({clusters.size(j), k - j});
    }
    Random random(seed, stream);
    for (const std::size_t j : empty) {
        if (donors.empty()) break;
        const auto [size, order] = donors.top();
        donors.pop();
        const std::size_t donor = k - order;
        const std::size_t pick = random.below(clusters.size(donor));
        const float* x = rows.row(clusters.rows[clusters.begin[donor] + pick]);
        float* from = centroids + donor * dim;
        float* to = centroids + j * dim;
        for (std::size_t d = 0; d < dim; ++d) {
            const float way = kApart * x[d] - kApart * from[d];
            to[d] = from[d] + way;
            from[d] -= way;
        }
        if (spherical) {
            normalise(from, 1, dim);
            normalise(to, 1, dim);
        }
        if (size > 3) donors.push({size - size / 2, k - donor});
        if (size > 3) donors.push({size / 2, k - donor});
    }
    return empty.size();
}

void normalise(float* centroids, std::size_t k, std::size_t dim) noexcept {
    for (std::size_t j = 0; j < k; ++j) {
        float* c = centroids + j * dim;
        const double length = norm_of(c, dim);
        if (!(length > 0.0)) continue;
        for (std::size_t d = 0; d < dim; ++d) {
            c[d] = static_cast<float>(static_cast<double>(c[d]) / length);
        }
    }
}

}  // namespace nearfield
