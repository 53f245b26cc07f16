// k-means at every level: assignment is that of exact scores computed one by one, centroids are means,
// and neither threads nor levels change a bit.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/random.h"
#include "check.h"
#include "kernels/resolve.h"
#include "quant/at_level.h"
#include "quant/data.h"
#include "quant/kmeans/clusters.h"
#include "quant/kmeans/kmeans.h"
#include "quant/kmeans/nearest.h"
#include "quant/kmeans/starts.h"

using nearfield::Centroids;
using nearfield::Id;
using nearfield::KMeansOptions;
using nearfield::KMeansResult;
using nearfield::MatrixView;
using nearfield::Random;

namespace {

/// The definition: exact keys, ties to the smaller number.
Id nearest_by_definition(const Centroids& centroids, const float* row) {
    Id best = 0;
    for (std::size_t j = 1; j < centroids.rows.rows; ++j) {
        if (nearfield::exact_key(centroids, row, j) > nearfield::exact_key(centroids, row, best)) {
            best = static_cast<Id>(j);
        }
    }
    return best;
}

void check_assignment(const std::string& what, MatrixView<float> rows, const Centroids& centroids,
                      double largest, bool guess) {
    const auto search = nearfield::make_nearest(rows, centroids.spherical, largest, 2);
    std::vector<Id> found(rows.rows);
    std::vector<double> keys(rows.rows);
    for (std::size_t i = 0; i < rows.rows; ++i) {
        found[i] = static_cast<Id>(i * 7 % centroids.rows.rows);
    }
    const std::vector<Id> before = found;
    const std::size_t changed = search->find(centroids, guess, found.data(), keys.data(), 2);
    std::size_t differ = 0;
    for (std::size_t i = 0; i < rows.rows; ++i) {
        const Id want = nearest_by_definition(centroids, rows.row(i));
        if (found[i] != want) {
            check::fail(__FILE__, __LINE__,
                        what + ": row " + std::to_string(i) + " got " + std::to_string(found[i]) +
                            ", expected " + std::to_string(want));
        }
        CHECK_EQ(keys[i], nearfield::exact_key(centroids, rows.row(i), want));
        differ += static_cast<std::size_t>(!guess || before[i] != want);
    }
    CHECK_EQ(changed, differ);
}

/// Rows and centroids of one kind; some centroids are rows, some twice.
void check_kind(const std::string& kind, std::size_t n, std::size_t dim, std::size_t k,
                Random& random) {
    const auto x = data::draw(kind, n, dim, 1e30, random);
    auto c = data::draw(kind, k, dim, 1e30, random);
    for (std::size_t j = 0; j < k; j += 3) std::copy_n(&x[j % n * dim], dim, &c[j * dim]);
    if (k > 9) std::copy_n(&c[5 * dim], dim, &c[(k - 1) * dim]);
    const MatrixView<float> rows{x.data(), n, dim};
    double largest = 0.0;
    for (std::size_t j = 0; j < k; ++j) {
        double squared = 0.0;
        for (std::size_t d = 0; d < dim; ++d) squared += std::pow(double{c[j * dim + d]}, 2);
        largest = std::max(largest, std::sqrt(squared));
    }
    for (const bool spherical : {false, true}) {
        for (const bool guess : {false, true}) {
            const std::string what = kind + " " + std::to_string(n) + " x " + std::to_string(dim) +
                                     ", k = " + std::to_string(k) +
                                     (spherical ? ", spherical" : "") + (guess ? ", guess" : "");
            const Centroids plain{{c.data(), k, dim}, spherical};
            check_assignment(what, rows, plain, largest, guess);
            Centroids priced = plain;
            for (std::size_t j = 0; j < k; ++j) {
                priced.price.push_back(largest * largest * random.uniform_double());
            }
            check_assignment(what + ", priced", rows, priced, largest, guess);
        }
    }
}

std::vector<float> blobs(std::size_t n, std::size_t dim, std::size_t centres, Random& random) {
    std::vector<float> c(centres * dim);
    for (float& v : c) v = static_cast<float>(4.0 * data::gaussian(random));
    std::vector<float> x(n * dim);
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t j = random.below(centres);
        for (std::size_t d = 0; d < dim; ++d) {
            x[i * dim + d] = c[j * dim + d] + static_cast<float>(data::gaussian(random));
        }
    }
    return x;
}

KMeansResult run(const std::vector<float>& x, std::size_t dim, KMeansOptions options, int threads) {
    options.label_rows = true;
    return nearfield::kmeans({x.data(), x.size() / dim, dim}, options, threads);
}

void expect_error(const std::string& part, const std::vector<float>& x, std::size_t dim,
                  const KMeansOptions& options) {
    try {
        run(x, dim, options, 1);
    } catch (const std::invalid_argument& error) {
        CHECK(std::string(error.what()).find(part) != std::string::npos);
        return;
    }
    check::fail(__FILE__, __LINE__, "no error with: " + part);
}

}  // namespace

TEST_AT_LEVELS(assignment_is_exact) {
    Random random(3);
    for (const std::string& kind : data::kinds()) {
        for (const std::size_t dim : {1, 3, 8, 25, 33, 70, 130}) {
            check_kind(kind, 290, dim, 75, random);
        }
    }
    for (const std::size_t k : {1, 2, 5, 16, 17, 63, 64, 65, 129}) {
        check_kind("gaussian", 261, 30, k, random);
        check_kind("gaussian", 70, 4, k, random);
    }
}

TEST_AT_LEVELS(inertia_falls_and_centroids_are_means) {
    Random random(5);
    for (const std::size_t dim : {6, 40}) {
        const auto x = blobs(3000, dim, 20, random);
        KMeansOptions options{.k = 20, .iterations = 60};
        options.tolerance = 0.0;
        const KMeansResult r = run(x, dim, options, 2);
        for (std::size_t i = 1; i < r.inertia.size(); ++i) {
            CHECK(r.inertia[i] <= r.inertia[i - 1] * (1 + 1e-9));
        }
        CHECK(r.inertia.size() < 60);  // no row changed any more
        CHECK(std::fabs(r.final_inertia - r.inertia.back()) <= 1e-6 * r.final_inertia);
        std::vector<double> sum(20 * dim);
        std::vector<double> count(20);
        for (std::size_t i = 0; i < 3000; ++i) {
            count[r.labels[i]] += 1;
            for (std::size_t d = 0; d < dim; ++d) {
                sum[r.labels[i] * dim + d] += static_cast<double>(x[i * dim + d]);
            }
        }
        for (std::size_t v = 0; v < sum.size(); ++v) {
            CHECK(std::fabs(sum[v] / count[v / dim] - static_cast<double>(r.centroids[v])) < 1e-5);
        }
    }
}

TEST_AT_LEVELS(threads_change_nothing) {
    Random random(6);
    for (const std::size_t dim : {5, 48}) {
        const auto x = blobs(9000, dim, 3, random);  // clusters of several segments
        for (const bool spherical : {false, true}) {
            KMeansOptions options{.k = 3, .iterations = 5, .seed = 9, .spherical = spherical};
            const KMeansResult one = run(x, dim, options, 1);
            for (const int threads : {2, 5}) {
                const KMeansResult many = run(x, dim, options, threads);
                CHECK(one.centroids == many.centroids);
                CHECK(one.labels == many.labels);
                CHECK(one.inertia == many.inertia);
                CHECK_EQ(one.final_inertia, many.final_inertia);
            }
        }
    }
}

TEST_AT_LEVELS(unit_centroids_if_spherical) {
    Random random(7);
    auto x = blobs(800, 30, 8, random);
    std::fill_n(x.begin(), 30, 0.0f);  // a zero row is as near to one as to any other
    KMeansOptions options{.k = 8, .spherical = true};
    const KMeansResult r = run(x, 30, options, 2);
    for (std::size_t j = 0; j < 8; ++j) {
        double squared = 0.0;
        for (std::size_t d = 0; d < 30; ++d)
            squared += std::pow(double{r.centroids[j * 30 + d]}, 2);
        CHECK(std::fabs(squared - 1.0) < 1e-6);
    }
    CHECK_EQ(r.labels[0], 0U);
}

TEST_AT_LEVELS(fewer_distinct_rows_than_clusters) {
    for (const std::size_t dim : {4, 64}) {
        std::vector<float> x(500 * dim, 0.0f);
        for (std::size_t i = 0; i < 500; ++i) x[i * dim] = static_cast<float>(i % 3);
        for (const bool spherical : {false, true}) {
            KMeansOptions options{.k = 40, .iterations = 4, .spherical = spherical};
            const KMeansResult r = run(x, dim, options, 2);
            CHECK(std::all_of(r.centroids.begin(), r.centroids.end(),
                              [](float v) { return std::isfinite(v); }));
            for (std::size_t i = 3; i < 500; ++i) CHECK_EQ(r.labels[i], r.labels[i - 3]);
            if (!spherical) CHECK_EQ(r.final_inertia, 0.0);
        }
    }
}

TEST(empty_clusters_take_half_of_the_largest) {
    // All start at the same place far off: the first takes every row, the others are repeats of it.
    Random random(8);
    const std::size_t dim = 32;
    const auto x = blobs(4000, dim, 16, random);
    const std::vector<float> start(16 * dim, 50.0f);
    KMeansOptions options{.k = 16, .iterations = 25};
    options.start = {start.data(), 16, dim};
    options.tolerance = 0.0;
    const KMeansResult r = run(x, dim, options, 2);
    std::vector<std::size_t> count(16);
    for (const Id label : r.labels) ++count[label];
    CHECK(*std::min_element(count.begin(), count.end()) > 0);
    CHECK(r.inertia.back() < 0.5 * r.inertia.front());
}

TEST(parts_get_what_their_size_deserves) {
    using nearfield::allot;
    CHECK(allot({100, 0, 50, 1}, 4) == (std::vector<std::size_t>{2, 0, 1, 1}));
    CHECK(allot({3, 3, 3}, 9) == (std::vector<std::size_t>{3, 3, 3}));
    CHECK(allot({1000, 2, 2}, 20) == (std::vector<std::size_t>{18, 1, 1}));
    CHECK(allot({5, 5}, 3) == (std::vector<std::size_t>{2, 1}));
}

TEST(starts_are_distinct_rows) {
    std::vector<float> x(1000 * 8);
    for (std::size_t v = 0; v < x.size(); ++v) x[v] = static_cast<float>(v / 8 % 10);
    KMeansOptions options{.k = 10, .iterations = 1};
    const KMeansResult r = run(x, 8, options, 1);
    CHECK_EQ(r.final_inertia, 0.0);
    options.seed = 1;
    CHECK(run(x, 8, options, 1).centroids != r.centroids);
}

TEST(wrong_arguments) {
    std::vector<float> x(12 * 30, 1.0f);
    expect_error("k: got 0 for 12 rows", x, 30, {.k = 0});
    expect_error("k: got 13 for 12 rows", x, 30, {.k = 13});
    expect_error("iterations: got 0", x, 30, {.k = 2, .iterations = 0});
    expect_error("tolerance", x, 30, {.k = 2, .tolerance = std::nan("")});
    KMeansOptions options{.k = 2};
    options.start = {x.data(), 3, 30};
    expect_error("start: got 3 x 30 values, expected 2 x 30", x, 30, options);
    x[7 * 30 + 29] = std::numeric_limits<float>::infinity();
    x[9 * 30] = std::nanf("");
    expect_error("row 7 holds NaN or infinity", x, 30, {.k = 2});
    const std::vector<float> c(60, std::nanf(""));
    CHECK_THROWS(
        std::invalid_argument,
        (nearfield::assign({x.data(), 5, 30}, {c.data(), 2, 30}, false, nullptr, {}, 1), 0));
    CHECK_THROWS(
        std::invalid_argument,
        (nearfield::assign({x.data(), 5, 30}, {c.data(), 3, 20}, false, nullptr, {}, 1), 0));
}

TEST(halves_of_a_spherical_cluster_stay_on_its_side) {
    constexpr std::size_t kDim = 5;
    Random random(3);
    std::vector<float> x(40 * kDim);
    for (float& v : x) v = static_cast<float>(100.0 + 20.0 * random.uniform_double());
    std::vector<float> centroids(2 * kDim, 1.0f);
    nearfield::normalise(centroids.data(), 2, kDim);
    const std::vector<Id> nearest(40, 0);
    KMeansOptions options;
    options.k = 2;
    options.spherical = true;
    const MatrixView<float> rows{x.data(), 40, kDim};
    CHECK_EQ(nearfield::fill_empty(nearfield::source_of(rows), {40, 0}, nearest.data(), options, 1,
                                   centroids.data()),
             std::size_t{1});
    for (const float value : centroids) CHECK(value > 0.0f);
}
