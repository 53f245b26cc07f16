#include "quant/kmeans/clusters.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/resolve.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// How far the halves of a split cluster start from its centroid, as a share of the way to a row.
constexpr float kApart = 0.25f;

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
    const bool has_mean = size != 0 && scale > 0.0;
    for (std::size_t d = 0; d < dim; ++d) {
        next[d] = has_mean ? static_cast<float>(sum[d] / scale) : old[d];
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

bool may_subtract(const double* squared, std::size_t n) {
    double largest = 0.0;
    double sum = 0.0;
    std::size_t count = 0;
    for (std::size_t i = 0; i < n; ++i) {
        if (!(squared[i] > 0.0)) continue;
        largest = std::max(largest, squared[i]);
        sum += std::ilogb(squared[i]);
        ++count;
    }
    constexpr double kBits = 32.0;  // of squared norms
    return count == 0 || std::ilogb(largest) - sum / static_cast<double>(count) < kBits;
}

Clusters group(const std::vector<Id>& rows, const Id* of, std::size_t k) {
    Clusters out{std::vector<Id>(rows.size()), std::vector<std::size_t>(k + 1)};
    for (const Id row : rows) ++out.begin[of[row] + 1];
    for (std::size_t j = 0; j < k; ++j) out.begin[j + 1] += out.begin[j];
    std::vector<std::size_t> at(out.begin.begin(), out.begin.end() - 1);
    for (const Id row : rows) out.rows[at[of[row]]++] = row;
    return out;
}

ClusterSums::ClusterSums(MatrixView<float> rows, std::size_t k, const double* squared)
    : rows_(rows),
      may_subtract_(may_subtract(squared, rows.rows)),
      sizes_(k),
      sums_(k * rows.cols) {}

void ClusterSums::assign(const Id* before, const Id* now, int threads) {
    std::vector<Id> moved;
    for (std::size_t i = 0; i < rows_.rows && before != nullptr; ++i) {
        if (before[i] != now[i]) moved.push_back(static_cast<Id>(i));
    }
    if (before != nullptr && may_subtract_ && few_moved(moved.size(), rows_.rows)) {
        add(moved, before, -1.0, threads);
    } else {
        moved.resize(rows_.rows);
        std::iota(moved.begin(), moved.end(), Id{0});
        std::fill(sums_.begin(), sums_.end(), 0.0);
        std::fill(sizes_.begin(), sizes_.end(), 0);
    }
    add(moved, now, 1.0, threads);
}

void ClusterSums::add(const std::vector<Id>& moved, const Id* clusters, double sign, int threads) {
    const std::size_t k = sizes_.size();
    const std::size_t dim = rows_.cols;
    const Clusters groups = group(moved, clusters, k);
    std::vector<Segment> segments;
    for (std::size_t j = 0; j < k; ++j) {
        for (std::size_t b = groups.begin[j]; b < groups.begin[j + 1]; b += kSumSegment) {
            segments.push_back({j, b, std::min(b + kSumSegment, groups.begin[j + 1])});
        }
        // Wraps around and back for a negative sign.
        sizes_[j] += sign < 0.0 ? 0 - groups.size(j) : groups.size(j);
    }
    const auto take_in = [&](std::size_t j, const std::vector<double>& sum) {
        for (std::size_t d = 0; d < dim; ++d) sums_[j * dim + d] += sign * sum[d];
    };
    std::vector<std::vector<double>> partial(segments.size());  // of clusters of several segments
    parallel_for(segments.size(), threads, [&](std::size_t s, int) {
        const Segment& segment = segments[s];
        std::vector<double> sum(dim);
        kernels::active().sum_rows_f32(rows_.data, rows_.stride, groups.rows.data() + segment.begin,
                                       segment.end - segment.begin, dim, sum.data());
        if (groups.size(segment.cluster) > kSumSegment) {
            partial[s] = std::move(sum);
        } else {
            take_in(segment.cluster, sum);
        }
    });
    for (std::size_t s = 0; s < segments.size(); ++s) {
        if (!partial[s].empty()) take_in(segments[s].cluster, partial[s]);
    }
}

double ClusterSums::means(const Centroids& old, float* next, int threads) const {
    const std::size_t k = sizes_.size();
    const std::size_t dim = rows_.cols;
    std::vector<double> share(k);
    parallel_for(k, threads, [&](std::size_t j, int) {
        share[j] = finish(sums_.data() + j * dim, sizes_[j], old.rows.row(j), dim, old.spherical,
                          next + j * dim);
    });
    return std::accumulate(share.begin(), share.end(), 0.0);
}

std::size_t fill_empty(const RowSource& rows, const std::vector<std::size_t>& sizes,
                       const Id* nearest, const KMeansOptions& options, std::uint64_t stream,
                       float* centroids) {
    const std::size_t k = sizes.size();
    const std::size_t dim = rows.cols;
    std::vector<std::size_t> empty;
    for (std::size_t j = 0; j < k; ++j) {
        if (sizes[j] == 0) empty.push_back(j);
    }
    if (empty.empty()) return 0;
    std::vector<Id> all(rows.rows);
    std::iota(all.begin(), all.end(), Id{0});
    const Clusters clusters = group(all, nearest, k);
    // Largest first, ties to the smaller number.
    std::priority_queue<std::pair<std::size_t, std::size_t>> donors;
    for (std::size_t j = 0; j < k; ++j) {
        if (sizes[j] > 1) donors.push({clusters.size(j), k - j});
    }
    Random random(options.seed, stream);
    for (const std::size_t j : empty) {
        if (donors.empty()) break;
        const auto [size, order] = donors.top();
        donors.pop();
        const std::size_t donor = k - order;
        const std::size_t pick = random.below(clusters.size(donor));
        const std::vector<float> row =
            rows.gather({&clusters.rows[clusters.begin[donor] + pick], 1});
        const float* const x = row.data();
        float* from = centroids + donor * dim;
        float* to = centroids + j * dim;
        // Centroids have unit length then, and a long row would push one of them to the other side.
        const double length = options.spherical ? norm_of(x, dim) : 1.0;
        const float share = kApart / static_cast<float>(length > 0.0 ? length : 1.0);
        for (std::size_t d = 0; d < dim; ++d) {
            const float way = share * x[d] - kApart * from[d];
            to[d] = from[d] + way;
            from[d] -= way;
        }
        if (options.spherical) {
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
