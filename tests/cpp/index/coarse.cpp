// The lists near a vector: by double loops over what each kind of coarse assignment may look at, for single
// queries and batches, any number of threads and degenerate groups.
#include "index/ivf/coarse.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "base/random.h"
#include "check.h"
#include "index/ivf/flat_coarse.h"
#include "index/ivf/hierarchical_coarse.h"

using nearfield::CoarseKind;
using nearfield::CoarseLists;
using nearfield::DType;
using nearfield::FlatCoarse;
using nearfield::HierarchicalCoarse;
using nearfield::Id;
using nearfield::MatrixView;
using nearfield::Metric;
using nearfield::Random;

namespace {

constexpr Metric kMetrics[] = {Metric::kL2, Metric::kIp, Metric::kCosine};

/// Multiples of 1/4 in clumps: sums are exact, and many distances equal.
std::vector<float> clumps(std::size_t n, std::size_t dim, std::uint64_t seed) {
    Random random(seed);
    std::vector<float> x(n * dim);
    for (std::size_t i = 0; i < n; ++i) {
        const auto middle = static_cast<float>(random.below(9)) - 4.0f;
        for (std::size_t d = 0; d < dim; ++d) {
            x[i * dim + d] = middle + (static_cast<float>(random.below(9)) - 4.0f) / 4.0f;
        }
    }
    return x;
}

double key_of(Metric metric, const float* q, const float* c, std::size_t dim) {
    double dot = 0.0, square = 0.0, apart = 0.0;
    for (std::size_t d = 0; d < dim; ++d) {
        const double a = q[d], b = c[d];
        dot += a * b;
        square += b * b;
        apart += (a - b) * (a - b);
    }
    if (metric == Metric::kL2) return -apart;
    if (metric == Metric::kIp) return dot;
    return square > 0.0 ? dot / std::sqrt(square) : 0.0;
}

/// The n best of `among`, ascending.
std::vector<Id> best(Metric metric, const float* q, const float* centroids, std::size_t dim,
                     const std::vector<Id>& among, std::size_t n) {
    std::vector<std::pair<double, Id>> keys;
    for (const Id c : among) keys.emplace_back(-key_of(metric, q, centroids + c * dim, dim), c);
    std::sort(keys.begin(), keys.end());
    std::vector<Id> out;
    for (std::size_t i = 0; i < n; ++i) out.push_back(keys[i].second);
    std::sort(out.begin(), out.end());
    return out;
}

std::vector<Id> numbers(std::size_t first, std::size_t count) {
    std::vector<Id> out(count);
    std::iota(out.begin(), out.end(), static_cast<Id>(first));
    return out;
}

std::vector<Id> sorted(const std::vector<Id>& all, std::size_t query, std::size_t n) {
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(query * n);
    std::vector<Id> out(first, first + static_cast<std::ptrdiff_t>(n));
    std::sort(out.begin(), out.end());
    return out;
}

/// nearest() in batches of `batch`, each query's lists ascending.
std::vector<std::vector<Id>> nearest(const CoarseLists& lists, MatrixView<float> q,
                                     std::size_t nprobe, std::size_t batch, int threads) {
    std::vector<std::vector<Id>> out;
    for (std::size_t first = 0; first < q.rows; first += batch) {
        const std::size_t n = std::min(batch, q.rows - first);
        const auto found = lists.nearest({q.row(first), n, q.cols}, nprobe, threads);
        for (std::size_t i = 0; i < n; ++i) out.push_back(sorted(found, i, nprobe));
    }
    return out;
}

void check_every_way(const CoarseLists& lists, MatrixView<float> q, std::size_t nprobe,
                     const std::vector<std::vector<Id>>& expected) {
    for (const std::size_t batch : {q.rows, std::size_t{1}, std::size_t{3}, std::size_t{150}}) {
        for (const int threads : {1, 3}) {
            CHECK(nearest(lists, q, nprobe, batch, threads) == expected);
        }
    }
}

}  // namespace

TEST(flat_finds_the_nearest_of_all) {
    for (const Metric metric : kMetrics) {
        const std::size_t dim = 12, nlist = 300;
        const auto centroids = clumps(nlist, dim, 1);
        const auto queries = clumps(80, dim, 2);
        const FlatCoarse lists(metric, dim, centroids);
        CHECK(lists.group_sizes().empty());
        for (const std::size_t nprobe : {1u, 7u, 299u, 300u}) {
            std::vector<std::vector<Id>> expected;
            for (std::size_t i = 0; i < 80; ++i) {
                expected.push_back(best(metric, queries.data() + i * dim, centroids.data(), dim,
                                        numbers(0, nlist), nprobe));
            }
            check_every_way(lists, {queries.data(), 80, dim}, nprobe, expected);
        }
    }
}

TEST(hierarchical_finds_the_nearest_of_the_nearest_groups) {
    for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
        // Groups of 1 to 8 centroids; under l2 means are sums of few quarters over a power of two.
        const std::size_t dim = 9, groups = 90, n = 400;
        std::vector<std::uint32_t> sizes(groups);
        for (std::size_t g = 0; g < groups; ++g) sizes[g] = 1u << g % 4;
        const std::size_t nlist = std::accumulate(sizes.begin(), sizes.end(), std::size_t{0});
        const auto centroids = clumps(nlist, dim, 3);
        const auto queries = clumps(n, dim, 4);
        const HierarchicalCoarse lists(metric, dim, centroids, sizes);
        std::vector<float> means;
        std::vector<std::size_t> firsts;
        for (std::size_t g = 0, first = 0; g < groups; first += sizes[g++]) {
            firsts.push_back(first);
            for (std::size_t d = 0; d < dim; ++d) {
                float sum = 0.0f;
                for (std::size_t i = first; i < first + sizes[g]; ++i)
                    sum += centroids[i * dim + d];
                means.push_back(sum / static_cast<float>(sizes[g]));
            }
        }
        bool narrower = false;
        for (const std::size_t nprobe : {std::size_t{1}, std::size_t{5}, std::size_t{40}, nlist}) {
            const std::size_t chosen = lists.groups_for(nprobe);
            CHECK(nprobe != 1 || chosen == 20);
            CHECK(nprobe != nlist || chosen == groups);
            std::vector<std::vector<Id>> expected;
            for (std::size_t i = 0; i < n; ++i) {
                const float* q = queries.data() + i * dim;
                std::vector<Id> among;
                // Under ip means count as unit vectors.
                const Metric by = metric == Metric::kIp ? Metric::kCosine : metric;
                for (const Id g : best(by, q, means.data(), dim, numbers(0, groups), chosen)) {
                    const auto mine = numbers(firsts[g], sizes[g]);
                    among.insert(among.end(), mine.begin(), mine.end());
                }
                expected.push_back(best(metric, q, centroids.data(), dim, among, nprobe));
                narrower = narrower || expected.back() != best(metric, q, centroids.data(), dim,
                                                               numbers(0, nlist), nprobe);
            }
            check_every_way(lists, {queries.data(), n, dim}, nprobe, expected);
        }
        CHECK(narrower);  // else nothing was left out
    }
}

TEST(as_many_groups_as_hold_the_lists_wanted) {
    // 100 groups of one centroid, one of 500: any 49 groups hold no more than 49 for certain.
    std::vector<std::uint32_t> sizes(101, 1);
    sizes[40] = 500;
    const auto centroids = clumps(600, 5, 5);
    const HierarchicalCoarse lists(Metric::kL2, 5, centroids, sizes);
    CHECK_EQ(lists.groups_for(1), std::size_t{20});
    CHECK_EQ(lists.groups_for(25), std::size_t{36});
    CHECK_EQ(lists.groups_for(49), std::size_t{49});
    CHECK_EQ(lists.groups_for(51), std::size_t{101});
    const auto queries = clumps(200, 5, 6);
    for (const std::size_t nprobe : {25u, 49u, 50u, 51u, 600u}) {
        const auto found = nearest(lists, {queries.data(), 200, 5}, nprobe, 200, 2);
        for (const auto& mine : found) {
            CHECK(std::adjacent_find(mine.begin(), mine.end()) == mine.end());
            CHECK(mine.back() < 600);
        }
        check_every_way(lists, {queries.data(), 200, 5}, nprobe, found);
    }
    // One group, of everything: as flat.
    const HierarchicalCoarse whole(Metric::kL2, 5, centroids, std::vector<std::uint32_t>{600});
    const FlatCoarse flat(Metric::kL2, 5, centroids);
    CHECK(nearest(whole, {queries.data(), 200, 5}, 9, 50, 1) ==
          nearest(flat, {queries.data(), 200, 5}, 9, 200, 1));
}

TEST(training_groups_centroids_and_restores_them) {
    for (const Metric metric : kMetrics) {
        const std::size_t dim = 6, n = 3000, nlist = 700;
        const auto x = clumps(n, dim, 7);
        const nearfield::RowsView rows{x.data(), n, dim, dim * sizeof(float), DType::kF32};
        const auto lists = train_coarse(CoarseKind::kHierarchical, rows, metric, nlist, 3, 2);
        const std::span<const std::uint32_t> sizes = lists->group_sizes();
        CHECK(!sizes.empty() && sizes.size() <= 74);
        CHECK_EQ(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}), nlist);
        CHECK(std::find(sizes.begin(), sizes.end(), 0u) == sizes.end());
        const auto again = train_coarse(CoarseKind::kHierarchical, rows, metric, nlist, 3, 1);
        CHECK(std::equal(sizes.begin(), sizes.end(), again->group_sizes().begin(),
                         again->group_sizes().end()));
        CHECK(std::equal(lists->centroids(), lists->centroids() + nlist * dim, again->centroids()));
        const HierarchicalCoarse restored(metric, dim, {lists->centroids(), nlist * dim}, sizes);
        CHECK(restored.assign(rows, 2) == lists->assign(rows, 1));
        CHECK(lists->assign(rows, 1) == lists->nearest({x.data(), n, dim}, 1, 2));
    }
}

TEST(equal_rows_make_one_group) {
    const std::vector<float> x(500 * 4, 2.5f);
    const nearfield::RowsView rows{x.data(), 500, 4, 16, DType::kF32};
    const auto lists = train_coarse(CoarseKind::kHierarchical, rows, Metric::kL2, 200, 0, 1);
    CHECK_EQ(lists->group_sizes().size(), std::size_t{1});
    CHECK_EQ(lists->assign(rows, 1)[499], Id{0});
}
