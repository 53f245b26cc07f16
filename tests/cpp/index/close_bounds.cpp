// CloseBounds against long double sums: the bounds hold for centroids of any size, and where products leave
// the range of float32 nothing is touched.
#include "index/ivf/close_bounds.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "check.h"

using nearfield::Candidate;
using nearfield::CloseBounds;
using nearfield::Id;
using nearfield::Metric;
using nearfield::Random;

namespace {

constexpr std::size_t kCentroids = 40;

struct Case {
    std::vector<float> centroids;
    std::vector<float> query;
};

/// Coordinates of one sign make the largest sums, those of either sign cancel.
Case draw(Random& random, std::size_t dim, float scale, bool cancel) {
    Case c;
    const auto value = [&](std::size_t i) {
        const float size = (0.5f + static_cast<float>(random.below(1000)) * 1e-3f) * scale;
        return cancel && i % 2 == 1 ? -size : size;
    };
    for (std::size_t i = 0; i < kCentroids * dim; ++i) c.centroids.push_back(value(i % dim));
    for (std::size_t i = 0; i < dim; ++i) c.query.push_back(value(cancel ? 0 : i));
    return c;
}

struct Exact {
    long double score;
    long double size;  // what the bounds' distance is measured by
};

Exact score(const Case& c, std::size_t row, Metric metric) {
    const std::size_t dim = c.query.size();
    long double sum = 0.0L, centroid = 0.0L, query = 0.0L;
    for (std::size_t i = 0; i < dim; ++i) {
        const long double x = c.centroids[row * dim + i];
        const long double q = c.query[i];
        sum += x * q;
        centroid += x * x;
        query += q * q;
    }
    const long double length = std::sqrt(centroid);
    const long double norm = std::sqrt(query);
    if (metric == Metric::kIp) return {sum, norm * length};
    if (metric == Metric::kCosine) return {sum / length, norm};
    return {sum - 0.5L * centroid, norm * length + centroid};
}

std::vector<Candidate> tightened(const Case& c, Metric metric) {
    const std::size_t dim = c.query.size();
    const CloseBounds close(metric, {c.centroids.data(), kCentroids, dim, dim * sizeof(float)});
    std::vector<Candidate> found;
    for (std::size_t row = kCentroids; row-- > 0;)
        found.push_back({7.0f, -7.0f, static_cast<Id>(row)});
    close.tighten(found, c.query.data(), {});
    return found;
}

}  // namespace

TEST(bounds_hold_and_are_close) {
    Random random(31);
    for (const Metric metric : {Metric::kIp, Metric::kCosine, Metric::kL2}) {
        for (const std::size_t dim : {1U, 3U, 32U, 100U, 385U}) {
            for (const float scale : {1e-18f, 1.0f, 300.0f, 1e12f}) {
                for (const bool cancel : {false, true}) {
                    const Case c = draw(random, dim, scale, cancel);
                    for (const Candidate& found : tightened(c, metric)) {
                        const Exact exact = score(c, found.row, metric);
                        CHECK(found.lower <= exact.score);
                        CHECK(exact.score <= found.upper);
                        // Tiny values lose bits below the normal range.
                        if (scale < 1.0f) continue;
                        CHECK(found.upper - found.lower < exact.size * 1e-5L);
                    }
                }
            }
        }
    }
}

TEST(what_might_overflow_stays_as_it_was) {
    Random random(32);
    const Case c = draw(random, 8, 1e18f, false);
    for (const Candidate& found : tightened(c, Metric::kIp)) {
        CHECK_EQ(found.upper, 7.0f);
        CHECK_EQ(found.lower, -7.0f);
    }
}
