// NearPairs: no pair that is near enough is missed, and bounds hold what they are bounds of, on every level.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/random.h"
#include "quant/at_level.h"
#include "quant/data.h"
#include "quant/raw/near_pairs.h"

using namespace nearfield;

namespace {

struct Coded {
    Coded(std::size_t n, std::size_t dim_in, double spread, std::uint64_t seed)
        : dim(dim_in), stride(round_up(dim_in, 64)), codes(n * stride), terms(n) {
        Random random(seed);
        std::vector<float> x(dim);
        for (std::size_t i = 0; i < n; ++i) {
            const double length = std::exp(spread * data::gaussian(random));
            for (float& v : x) v = static_cast<float>(length * data::gaussian(random));
            if (i % 17 == 3) std::fill(x.begin(), x.end(), 0.0f);
            terms[i] = encode_row(x.data(), dim, stride, codes.data() + i * stride);
        }
    }
    ByteView view() const { return {codes.data(), stride, terms.data()}; }
    double product(std::size_t a, std::size_t b) const {
        std::int64_t sum = 0;
        for (std::size_t d = 0; d < dim; ++d) {
            sum += (codes[a * stride + d] - 128) * (codes[b * stride + d] - 128);
        }
        return static_cast<double>(terms[a].scale) * terms[b].scale * static_cast<double>(sum);
    }

    std::size_t dim;
    std::size_t stride;
    std::vector<std::uint8_t> codes;
    std::vector<ByteTerms> terms;
};

/// Larger for nearer rows of the same lane.
double nearness(const Coded& rows, bool by_distance, std::size_t lane, std::size_t row) {
    return rows.product(lane, row) - (by_distance ? 0.5 * rows.product(row, row) : 0.0);
}

struct Pair {
    double exact;
    float lower;
    float upper;
};

/// What find() says of each row of the block, lane by lane; missing ones are below everything.
std::vector<std::vector<Pair>> pairs_of(const NearPairs& pairs, std::vector<float> least,
                                        std::size_t count) {
    std::vector<std::vector<Pair>> all(least.size(),
                                       std::vector<Pair>(count, {0, -FLT_MAX, -FLT_MAX}));
    HitBuffer hits;
    const std::size_t n = pairs.find(least.data(), hits);
    for (std::size_t h = 0; h < n; ++h) {
        const std::size_t lane = hits.pair[h] % NearPairs::kLanes;
        const std::size_t row = hits.pair[h] / NearPairs::kLanes;
        CHECK(lane < least.size() && row < count);
        CHECK(pairs.width(row, lane) >= 0.0f);
        all[lane][row].upper = hits.upper[h];
        all[lane][row].lower = hits.upper[h] - pairs.width(row, lane);
    }
    return all;
}

void check_block(const Coded& rows, bool by_distance, std::size_t lanes, std::size_t first,
                 std::size_t count) {
    NearPairs pairs(rows.dim, by_distance);
    std::vector<Id> ids(lanes);
    for (std::size_t i = 0; i < lanes; ++i) ids[i] = static_cast<Id>(i * 7 % rows.terms.size());
    pairs.set_lanes(rows.view(), ids.data(), lanes);
    pairs.set_block(rows.view(), first, count);
    auto all = pairs_of(pairs, std::vector<float>(lanes, -FLT_MAX), count);
    const std::size_t wanted = (count + 3) / 4;
    std::vector<float> least(lanes);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        std::vector<float> lower;
        for (std::size_t i = 0; i < count; ++i) {
            CHECK(all[lane][i].upper > -FLT_MAX);
            all[lane][i].exact = nearness(rows, by_distance, ids[lane], first + i);
            lower.push_back(all[lane][i].lower);
        }
        std::sort(lower.begin(), lower.end(), std::greater<>());
        least[lane] = lower[wanted - 1];
        // Bounds never say the wrong order.
        for (const Pair& a : all[lane]) {
            for (const Pair& b : all[lane]) CHECK(a.upper >= b.lower || a.exact <= b.exact);
        }
    }
    // Nor is one of the nearest missed where as many as wanted are surely as near as asked for.
    const auto some = pairs_of(pairs, least, count);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        std::vector<double> exact;
        for (const Pair& pair : all[lane]) exact.push_back(pair.exact);
        std::sort(exact.begin(), exact.end(), std::greater<>());
        for (std::size_t i = 0; i < count; ++i) {
            CHECK(some[lane][i].upper > -FLT_MAX || all[lane][i].exact <= exact[wanted - 1]);
        }
    }
}

}  // namespace

TEST_AT_LEVELS(near_pairs) {
    for (const std::size_t dim : {3, 64, 100, 384}) {
        for (const double spread : {0.0, 3.0}) {
            const Coded rows(300, dim, spread, dim);
            for (const bool by_distance : {true, false}) {
                for (const std::size_t lanes : {1, 16, 37, 64}) {
                    check_block(rows, by_distance, lanes, 5, 200);
                    check_block(rows, by_distance, lanes, 299, 1);
                }
            }
        }
    }
}
