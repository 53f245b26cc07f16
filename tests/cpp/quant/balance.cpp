// Clusters of bounded size: the bound holds for certain, no row stands farther away than it has to, and threads
// change no bit.
#include "quant/kmeans/balance.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/random.h"
#include "check.h"
#include "quant/at_level.h"
#include "quant/kmeans/clusters.h"
#include "quant/kmeans/kmeans.h"
#include "quant/kmeans/nearest.h"

using nearfield::Centroids;
using nearfield::Id;
using nearfield::KMeansOptions;
using nearfield::KMeansResult;
using nearfield::MatrixView;
using nearfield::Random;

namespace {

/// A few blobs far apart, the first with most of the rows.
std::vector<float> blobs(std::size_t n, std::size_t dim, std::uint64_t seed) {
    Random random(seed);
    std::vector<float> middles(5 * dim);
    for (float& v : middles) v = static_cast<float>(20.0 * random.uniform_double());
    std::vector<float> out(n * dim);
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t blob = i % 10 < 7 ? 0 : 1 + i % 4;
        for (std::size_t d = 0; d < dim; ++d) {
            out[i * dim + d] =
                middles[blob * dim + d] + static_cast<float>(random.uniform_double());
        }
    }
    return out;
}

std::vector<std::size_t> sizes_of(const std::vector<Id>& labels, std::size_t k) {
    std::vector<std::size_t> sizes(k);
    for (const Id label : labels) ++sizes.at(label);
    return sizes;
}

void check_repair(const std::string& what, MatrixView<float> rows, const Centroids& centroids,
                  std::size_t most) {
    const std::size_t k = centroids.rows.rows;
    const auto search = nearfield::make_nearest(rows, centroids.spherical, 100.0, 1);
    std::vector<Id> nearest(rows.rows);
    search->find(centroids, false, nearest.data(), nullptr, 1);
    std::vector<Id> labels = nearest;
    nearfield::repair(rows, centroids, most, labels.data(), 2);
    const std::vector<std::size_t> before = sizes_of(nearest, k);
    const std::vector<std::size_t> sizes = sizes_of(labels, k);
    CHECK(*std::max_element(sizes.begin(), sizes.end()) <= most);
    for (std::size_t i = 0; i < rows.rows; ++i) {
        // Clusters that were too large end full; nobody leaves another.
        if (labels[i] != nearest[i]) {
            CHECK(before[nearest[i]] > most);
            CHECK_EQ(sizes[nearest[i]], most);
        }
        const double own = nearfield::exact_key(centroids, rows.row(i), labels[i]);
        for (std::size_t j = 0; j < k; ++j) {
            if (sizes[j] < most && nearfield::exact_key(centroids, rows.row(i), j) > own) {
                check::fail(__FILE__, __LINE__,
                            what + ": row " + std::to_string(i) + " could be nearer, in " +
                                std::to_string(j));
            }
        }
    }
}

}  // namespace

TEST_AT_LEVELS(no_row_could_be_nearer_in_a_cluster_with_room) {
    for (const std::size_t dim : {std::size_t{3}, std::size_t{40}}) {
        const std::vector<float> x = blobs(1500, dim, dim);
        const MatrixView<float> rows{x.data(), 1500, dim};
        for (const bool spherical : {false, true}) {
            for (const std::size_t k : {std::size_t{2}, std::size_t{7}, std::size_t{60}}) {
                // The first rows lie in few blobs: most clusters start crowded or empty.
                const Centroids centroids{{x.data(), k, dim}, spherical};
                const std::size_t fewest = (1500 + k - 1) / k;
                for (const std::size_t most : {fewest, fewest + 3, 2 * fewest}) {
                    check_repair(std::to_string(dim) + " columns, " + std::to_string(k), rows,
                                 centroids, most);
                }
            }
        }
    }
}

TEST(every_cluster_gets_one_of_equal_rows) {
    for (const std::size_t dim : {std::size_t{4}, std::size_t{30}}) {
        const std::vector<float> x(300 * dim, 1.5f);
        const MatrixView<float> rows{x.data(), 300, dim};
        std::vector<Id> labels(300, 7);
        nearfield::repair(rows, {{x.data(), 300, dim}, false}, 1, labels.data(), 2);
        std::sort(labels.begin(), labels.end());
        for (std::size_t i = 0; i < 300; ++i) CHECK_EQ(labels[i], static_cast<Id>(i));
    }
}

TEST(sizes_that_are_wanted) {
    CHECK_EQ(nearfield::largest_size(100, 10, 1.0), std::size_t{10});
    CHECK_EQ(nearfield::largest_size(101, 10, 1.0), std::size_t{11});
    CHECK_EQ(nearfield::largest_size(100, 10, 1.29), std::size_t{12});
    CHECK_EQ(nearfield::largest_size(100, 10, 1e300), std::size_t{100});
    CHECK_EQ(nearfield::largest_size(5, 5, 1.5), std::size_t{1});
    CHECK_EQ(nearfield::largest_size(1000, 1, 1.0), std::size_t{1000});
}

TEST_AT_LEVELS(bounds_hold_and_threads_change_no_bit) {
    for (const std::size_t dim : {std::size_t{6}, std::size_t{48}}) {
        const std::vector<float> x = blobs(3000, dim, 9);
        for (const bool spherical : {false, true}) {
            for (const double balance : {1.0, 1.2, 3.0}) {
                KMeansOptions options;
                options.k = 37;
                options.iterations = 6;
                options.spherical = spherical;
                options.balance = balance;
                options.label_rows = true;
                std::vector<KMeansResult> found;
                for (const int threads : {1, 3}) {
                    found.push_back(nearfield::kmeans({x.data(), 3000, dim}, options, threads));
                }
                const auto sizes = sizes_of(found[0].labels, 37);
                CHECK(*std::max_element(sizes.begin(), sizes.end()) <=
                      nearfield::largest_size(3000, 37, balance));
                for (const KMeansResult& other : found) {
                    CHECK(other.centroids == found[0].centroids);
                    CHECK(other.labels == found[0].labels);
                    CHECK_EQ(other.final_inertia, found[0].final_inertia);
                }
            }
        }
    }
}

TEST(refuses_bounds_below_the_mean) {
    const std::vector<float> x(40, 1.0f);
    for (const double balance : {0.99, -1.0, 0.0 / 0.0}) {
        KMeansOptions options;
        options.k = 2;
        options.balance = balance;
        CHECK_THROWS(std::invalid_argument, nearfield::kmeans({x.data(), 20, 2}, options, 1));
    }
}
