// Distances of rows in bytes, and the links chosen by them, against plain loops.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/random.h"
#include "index/hnsw/choose_links.h"
#include "kernels/values.h"
#include "quant/at_level.h"

using nearfield::ByteRows;
using nearfield::Id;
using nearfield::LinkChooser;
using nearfield::Near;
using nearfield::Random;

namespace {

struct Rows {
    std::size_t n;
    std::size_t dim;
    std::vector<float> x;

    Rows(std::size_t n_in, std::size_t dim_in) : n(n_in), dim(dim_in), x(n_in * dim_in) {}
    float* row(std::size_t i) { return x.data() + i * dim; }
    const float* row(std::size_t i) const { return x.data() + i * dim; }
};

Rows gaussian(std::size_t n, std::size_t dim, Random& random) {
    Rows rows(n, dim);
    for (float& v : rows.x) v = values::gaussian(random);
    return rows;
}

/// Rows that bytes hold without loss: whole numbers, the largest of each row 127. They stand in clumps.
Rows whole(std::size_t n, std::size_t dim, Random& random) {
    Rows rows(n, dim);
    for (std::size_t i = 0; i < n; ++i) {
        float* const row = rows.row(i);
        if (i % 8 != 0) std::copy_n(rows.row(i - i % 8), dim, row);
        for (std::size_t k = 1; k < dim; ++k) {
            const float draw = static_cast<float>(random.below(41)) - 20.0f;
            row[k] = i % 8 == 0 ? 4.0f * draw : row[k] + std::nearbyint(draw / 3.0f);
        }
        row[0] = 127.0f;
    }
    return rows;
}

ByteRows coded(const Rows& rows, bool by_distance) {
    ByteRows bytes(rows.dim, by_distance);
    bytes.resize(rows.n);
    for (std::size_t i = 0; i < rows.n; ++i) bytes.set(i, rows.row(i));
    return bytes;
}

double distance(const Rows& rows, std::size_t a, std::size_t b, bool by_distance) {
    double sum = 0;
    for (std::size_t k = 0; k < rows.dim; ++k) {
        const double x = rows.row(a)[k];
        const double y = rows.row(b)[k];
        sum += by_distance ? (x - y) * (x - y) : -x * y;
    }
    return sum;
}

std::vector<float> distances(const ByteRows& bytes, std::size_t from) {
    std::vector<Id> ids(bytes.size());
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<Id>(i);
    std::vector<float> out(ids.size());
    bytes.distances(from, ids.data(), ids.size(), out.data());
    return out;
}

/// The length of what the bytes of a row may be off by.
double error_of(const Rows& rows, std::size_t i) {
    float most = 0;
    for (std::size_t k = 0; k < rows.dim; ++k) most = std::max(most, std::fabs(rows.row(i)[k]));
    return std::sqrt(static_cast<double>(rows.dim)) * most / 127.0 * 0.50002;
}

/// All but u, nearest first.
std::vector<Near> candidates_of(const Rows& rows, Id u, bool by_distance) {
    std::vector<Near> all;
    for (Id i = 0; i < rows.n; ++i) {
        if (i != u) all.push_back({static_cast<float>(distance(rows, u, i, by_distance)), i});
    }
    std::sort(all.begin(), all.end());
    return all;
}

/// The rule as its definition has it: each candidate against what was chosen before.
std::vector<Id> chosen_by_loop(const Rows& rows, const std::vector<Near>& candidates,
                               std::size_t most, double slack, bool by_distance) {
    std::vector<Id> chosen;
    for (const Near& c : candidates) {
        if (chosen.size() == most) break;
        const bool hidden = std::any_of(chosen.begin(), chosen.end(), [&](Id s) {
            return slack * distance(rows, s, c.node, by_distance) <= c.distance;
        });
        if (!hidden) chosen.push_back(c.node);
    }
    return chosen;
}

std::vector<Id> chosen_by(LinkChooser& chooser, const std::vector<Near>& candidates,
                          std::size_t most) {
    std::vector<Id> ids;
    for (const Near& near : chooser.choose(candidates, most)) ids.push_back(near.node);
    return ids;
}

}  // namespace

TEST_AT_LEVELS(distances_of_whole_numbers_are_exact) {
    Random random(3);
    for (const std::size_t dim : {1U, 2U, 63U, 64U, 65U, 100U, 384U, 4096U, 4097U, 9000U}) {
        const Rows rows = whole(70, dim, random);
        for (const bool by_distance : {false, true}) {
            const ByteRows bytes = coded(rows, by_distance);
            for (const std::size_t from : {0U, 9U, 69U}) {
                const std::vector<float> got = distances(bytes, from);
                for (std::size_t i = 0; i < rows.n; ++i) {
                    CHECK_EQ(got[i], static_cast<float>(distance(rows, from, i, by_distance)));
                }
            }
        }
    }
}

TEST_AT_LEVELS(the_largest_sums_are_exact) {
    constexpr std::size_t kDim = 65536;
    Rows rows(3, kDim);
    std::fill_n(rows.row(0), kDim, 127.0f);
    std::fill_n(rows.row(1), kDim, -127.0f);
    std::fill_n(rows.row(2), kDim, 127.0f);
    const auto square = static_cast<float>(127.0 * 127.0 * kDim);
    CHECK(distances(coded(rows, true), 0) == std::vector<float>({0.0f, 4 * square, 0.0f}));
    CHECK(distances(coded(rows, false), 1) == std::vector<float>({square, -square, square}));
}

TEST_AT_LEVELS(distances_are_those_of_the_codes) {
    Random random(4);
    for (const std::size_t dim : {20U, 100U, 384U}) {
        const Rows rows = gaussian(30, dim, random);
        std::vector<std::vector<int>> codes(rows.n);
        std::vector<double> scales(rows.n);
        for (std::size_t i = 0; i < rows.n; ++i) {
            float most = 0;
            for (std::size_t k = 0; k < dim; ++k) most = std::max(most, std::fabs(rows.row(i)[k]));
            scales[i] = most / 127.0f;
            for (std::size_t k = 0; k < dim; ++k) {
                const float v = std::nearbyint(rows.row(i)[k] * (127.0f / most));
                codes[i].push_back(std::clamp(static_cast<int>(v), -127, 127));
            }
        }
        const auto product = [&](std::size_t a, std::size_t b) {
            double sum = 0;
            for (std::size_t k = 0; k < dim; ++k) sum += codes[a][k] * codes[b][k];
            return sum;
        };
        const std::vector<float> inner = distances(coded(rows, false), 5);
        const std::vector<float> apart = distances(coded(rows, true), 5);
        for (std::size_t i = 0; i < rows.n; ++i) {
            const double xy = scales[5] * scales[i] * product(5, i);
            const double xx = scales[5] * scales[5] * product(5, 5);
            const double yy = scales[i] * scales[i] * product(i, i);
            CHECK_EQ(inner[i], static_cast<float>(-xy));
            CHECK_EQ(apart[i], static_cast<float>(std::max(0.0, xx + yy - 2.0 * xy)));
        }
    }
}

TEST(distances_are_as_good_as_the_bytes) {
    Random random(5);
    for (const std::size_t dim : {1U, 24U, 100U, 384U, 1000U}) {
        const Rows rows = gaussian(60, dim, random);
        const std::vector<float> apart = distances(coded(rows, true), 7);
        const std::vector<float> inner = distances(coded(rows, false), 7);
        const double length = std::sqrt(-distance(rows, 7, 7, false));
        for (std::size_t i = 0; i < rows.n; ++i) {
            const double other = std::sqrt(-distance(rows, i, i, false));
            const double off = error_of(rows, 7) + error_of(rows, i);
            const double want = std::sqrt(distance(rows, 7, i, true));
            CHECK(std::fabs(std::sqrt(static_cast<double>(apart[i])) - want) <=
                  off + 1e-6 * (length + other));
            const double most = length * error_of(rows, i) + other * error_of(rows, 7) +
                                error_of(rows, 7) * error_of(rows, i) + 1e-6 * length * other;
            CHECK(std::fabs(inner[i] - distance(rows, 7, i, false)) <= most);
        }
    }
}

TEST_AT_LEVELS(odd_rows_give_numbers) {
    const float largest = std::numeric_limits<float>::max();
    Rows rows(6, 3);
    const std::vector<float> x = {0,        0,        0,   1e-40f,    0, -1e-44f,
                                  largest,  -largest, 0,   0x1p-100f, 0, 0x1p-100f,
                                  INFINITY, 1,        NAN, 1,         2, 3};
    std::copy(x.begin(), x.end(), rows.x.begin());
    for (const bool by_distance : {false, true}) {
        const ByteRows bytes = coded(rows, by_distance);
        for (std::size_t from = 0; from < rows.n; ++from) {
            const std::vector<float> got = distances(bytes, from);
            for (const float d : got) CHECK(!std::isnan(d));
            CHECK_EQ(got[0], distances(bytes, 0)[from]);
            if (by_distance) CHECK_EQ(got[from], 0.0f);
        }
    }
}

TEST(rows_are_copied_between_byte_rows) {
    Random random(6);
    const Rows rows = gaussian(20, 70, random);
    const ByteRows bytes = coded(rows, true);
    ByteRows some(70, true);
    some.resize(3);
    some.set(0, bytes, 4);
    some.set(2, bytes, 19);
    some.set(1, bytes, 0);
    const std::vector<float> want = distances(bytes, 4);
    CHECK(distances(some, 0) == std::vector<float>({want[4], want[0], want[19]}));
}

TEST(choices_follow_the_rule) {
    Random random(7);
    for (const std::size_t dim : {8U, 100U}) {
        const Rows rows = whole(300, dim, random);
        for (const bool by_distance : {false, true}) {
            const ByteRows bytes = coded(rows, by_distance);
            for (const float slack : {1.0f, 1.25f}) {  // 1.25: exact products
                LinkChooser chooser(bytes, slack);
                for (const Id u : {0U, 5U, 123U, 299U}) {
                    const std::vector<Near> all = candidates_of(rows, u, by_distance);
                    for (const std::size_t most : {0U, 1U, 5U, 32U, 300U}) {
                        const double counts = by_distance ? static_cast<double>(slack) : 1.0;
                        CHECK(chosen_by(chooser, all, most) ==
                              chosen_by_loop(rows, all, most, counts, by_distance));
                    }
                }
            }
        }
    }
}

TEST(choices_among_equal_rows_are_not_empty) {
    Rows rows(6, 5);
    for (std::size_t i = 0; i < 6; ++i) std::fill_n(rows.row(i), 5, i < 4 ? 127.0f : 50.0f);
    for (const bool by_distance : {false, true}) {
        const ByteRows bytes = coded(rows, by_distance);
        LinkChooser chooser(bytes, 1.25f);
        const std::vector<Near> all = candidates_of(rows, 0, by_distance);
        const std::vector<Id> chosen = chosen_by(chooser, all, 4);
        CHECK(!chosen.empty());
        CHECK_EQ(chosen[0], 1U);
        CHECK(chooser.choose({}, 4).empty());
    }
}

TEST(longer_slack_keeps_more) {
    Random random(8);
    const Rows rows = gaussian(400, 32, random);
    const ByteRows bytes = coded(rows, true);
    LinkChooser plain(bytes, 1.0f);
    LinkChooser longer(bytes, 1.44f);
    std::size_t few = 0;
    std::size_t many = 0;
    for (Id u = 0; u < 20; ++u) {
        const std::vector<Near> all = candidates_of(rows, u, true);
        few += chosen_by(plain, all, 400).size();
        many += chosen_by(longer, all, 400).size();
    }
    CHECK(few < many);
}
