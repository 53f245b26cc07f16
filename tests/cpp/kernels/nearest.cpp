// nearest_f32: the best score, its number and its lead, against sums in long double, between guard pages.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"
#include "kernels/values.h"

using nearfield::Random;
using nearfield::kernels::kNearestRows;

namespace {

constexpr std::size_t kMostDim = 40;
constexpr std::size_t kMostCentroids = 70;

struct Arrays {
    guarded::Arena rows{kNearestRows * kMostDim * sizeof(float)};
    guarded::Arena centroids{kMostCentroids * kMostDim * sizeof(float)};
    guarded::Arena shortfall{kMostCentroids * sizeof(float)};
};

void check_block(const nearfield::kernels::KernelTable& table, const float* rows, std::size_t dim,
                 const float* centroids, const float* shortfall, std::size_t k) {
    alignas(64) std::uint32_t nearest[kNearestRows];
    alignas(64) float best[kNearestRows];
    alignas(64) float lead[kNearestRows];
    table.nearest_f32(rows, dim, centroids, shortfall, k, nearest, best, lead);
    for (std::size_t i = 0; i < kNearestRows; ++i) {
        long double first = -std::numeric_limits<long double>::infinity();
        long double second = first;
        long double got = first;
        long double size = 0;
        for (std::size_t j = 0; j < k; ++j) {
            long double score = -static_cast<long double>(shortfall[j]);
            long double terms = std::fabs(score);
            for (std::size_t d = 0; d < dim; ++d) {
                const long double term =
                    static_cast<long double>(rows[d * kNearestRows + i]) * centroids[j * dim + d];
                score += term;
                terms += std::fabs(term);
            }
            size = std::fmax(size, terms);
            if (j == nearest[i]) got = score;
            second = std::fmax(second, std::fmin(score, first));
            first = std::fmax(first, score);
        }
        const long double off = std::ldexp(static_cast<long double>(dim + 2), -24) * size;
        CHECK(nearest[i] < k);
        CHECK(first - got <= 2 * off);
        CHECK(std::fabs(best[i] - got) <= off);
        if (k == 1) {
            CHECK(std::isinf(lead[i]) && lead[i] > 0);
        } else {
            CHECK(std::fabs(lead[i] - (first - second)) <= 3 * off);
        }
    }
}

}  // namespace

TEST_LEVELS(scores_and_leads) {
    Arrays arrays;
    Random random(12);
    for (const std::size_t dim : {1, 2, 3, 4, 7, 8, 16, 24, 40}) {
        for (const std::size_t k : {1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 70}) {
            for (const bool at_back : {true, false}) {
                auto* rows = arrays.rows.at<float>(at_back, kNearestRows * dim);
                auto* centroids = arrays.centroids.at<float>(at_back, k * dim);
                auto* shortfall = arrays.shortfall.at<float>(at_back, k);
                for (std::size_t v = 0; v < kNearestRows * dim; ++v) {
                    rows[v] = values::gaussian(random);
                }
                for (std::size_t v = 0; v < k * dim; ++v) centroids[v] = values::gaussian(random);
                for (std::size_t j = 0; j < k; ++j) shortfall[j] = values::gaussian(random);
                check_block(table, rows, dim, centroids, shortfall, k);
            }
        }
    }
}

TEST_LEVELS(ties_go_to_the_smaller_number) {
    float rows[kNearestRows * 2];
    float centroids[24];
    const float shortfall[12] = {};
    for (std::size_t v = 0; v < kNearestRows * 2; ++v) rows[v] = 1.0f;
    for (std::size_t j = 0; j < 12; ++j) {
        centroids[2 * j] = j >= 5 ? 3.0f : 0.0f;
        centroids[2 * j + 1] = 1.0f;
    }
    alignas(64) std::uint32_t nearest[kNearestRows];
    alignas(64) float best[kNearestRows];
    alignas(64) float lead[kNearestRows];
    table.nearest_f32(rows, 2, centroids, shortfall, 12, nearest, best, lead);
    for (std::size_t i = 0; i < kNearestRows; ++i) {
        CHECK_EQ(nearest[i], 5U);
        CHECK_EQ(best[i], 4.0f);
        CHECK_EQ(lead[i], 0.0f);
    }
}
