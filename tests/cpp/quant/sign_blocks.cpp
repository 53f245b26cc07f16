// The first pass over sign bits: certain bounds never lose a row, statistical ones seldom, a moved centre
// changes nothing, and every level reports the same rows with the same bits.
#include "quant/rabitq/sign_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "quant/at_level.h"
#include "quant/data.h"

using namespace nearfield;

namespace {

constexpr float kEverything = -std::numeric_limits<float>::infinity();

struct Case {
    std::size_t dim;
    std::size_t count;
    std::vector<float> rows;
    std::vector<float> centre;
    std::vector<float> query;
};

Case draw(const std::string& kind, std::size_t dim, std::size_t count, Random& random) {
    Case c{dim, count, data::draw(kind, count, dim, 1e15, random),
           data::draw("gaussian", 1, dim, 1e15, random), data::draw(kind, 1, dim, 1e15, random)};
    std::copy_n(c.centre.data(), dim, c.rows.data());  // one row at the centre
    return c;
}

double dot(const float* a, const float* b, std::size_t dim) {
    long double sum = 0;
    for (std::size_t k = 0; k < dim; ++k) sum += static_cast<long double>(a[k]) * b[k];
    return static_cast<double>(sum);
}

/// <q-c,r> + <c,r>, or <q-c,r> - |r|^2 / 2.
double true_rank(const Case& c, Metric metric, std::size_t i) {
    long double rank = 0;
    for (std::size_t k = 0; k < c.dim; ++k) {
        const long double r = static_cast<long double>(c.rows[i * c.dim + k]) - c.centre[k];
        const long double q = c.query[k];
        rank += metric == Metric::kIp ? q * r : (q - c.centre[k]) * r - r * r / 2;
    }
    return static_cast<double>(rank);
}

struct Found {
    std::vector<float> upper;
    std::vector<std::uint32_t> row;
};

/// Blocks that own their memory.
class SignBlocks {
public:
    SignBlocks(std::size_t plane_size, Metric metric) : bytes_(plane_size), metric_(metric) {}

    void append(const std::uint8_t* plane, const RabitqFactors& factors, double shift = 0.0) {
        const std::size_t lane = count_ % kernels::kSignRows;
        const std::size_t room = count_ - lane + kernels::kSignRows;
        planes_.resize(room * bytes_ + 64);
        for (std::vector<float>* factor : {&scale_, &bias_, &error_}) factor->resize(room);
        const std::size_t first = count_++ - lane;
        SignBlock{planes_.data() + first * bytes_, &scale_[first], &bias_[first], &error_[first]}
            .put(lane, plane, bytes_, metric_, factors, shift);
    }
    void append_unknown() {
        append(std::vector<std::uint8_t>(bytes_).data(), RabitqFactors{});
        SignBlock{nullptr, scale_.data(), bias_.data(), error_.data()}.put_unknown(count_ - 1);
    }
    std::size_t size() const { return count_; }
    double width(const SignQuery& query, std::size_t i, double length) const {
        return query.width(scale_[i], error_[i]) + 2.0 * SignQuery::rounding(length, error_[i]);
    }
    std::size_t scan(const SignQuery& query, std::size_t first, std::size_t rows, float threshold,
                     const kernels::SignHits& hits) const {
        return SignView{planes_.data(), scale_.data(), bias_.data(), error_.data(), bytes_, count_}
            .scan(query, first, rows, threshold, hits);
    }

private:
    std::size_t bytes_;
    Metric metric_;
    std::size_t count_ = 0;
    std::vector<std::uint8_t> planes_;
    std::vector<float> scale_;
    std::vector<float> bias_;
    std::vector<float> error_;
};

Found scan(const SignBlocks& blocks, const SignQuery& query, float threshold) {
    Found found{std::vector<float>(blocks.size() + kernels::kSignSlack),
                std::vector<std::uint32_t>(blocks.size() + kernels::kSignSlack)};
    const std::size_t n =
        blocks.scan(query, 0, blocks.size(), threshold, {found.upper.data(), found.row.data()});
    found.upper.resize(n);
    found.row.resize(n);
    return found;
}

SignBlocks blocks_of(const Case& c, const RabitqCodec& codec, Metric metric, bool moved) {
    SignBlocks blocks(codec.plane_size(), metric);
    RabitqCodec::Scratch scratch(codec);
    std::vector<std::uint8_t> code(codec.code_size());
    std::vector<std::uint8_t> bytes(codec.rotated_dim());
    const RotatedQuery centre(codec, c.centre.data(), nullptr);
    for (std::size_t i = 0; i < c.count; ++i) {
        CHECK(codec.encode(c.rows.data() + i * c.dim, c.centre.data(), scratch, code.data()));
        const RabitqFactors f = codec.factors(code.data());
        codec.unpack(code.data(), bytes.data());
        const double shift =
            moved ? -static_cast<double>(f.unbiased) * centre.dot(bytes.data()) : 0.0;
        blocks.append(code.data() + RabitqCodec::kHeader, f, shift);
    }
    return blocks;
}

/// The longest row or centre.
double longest(const Case& c) {
    double most = dot(c.centre.data(), c.centre.data(), c.dim);
    for (std::size_t i = 0; i < c.count; ++i) {
        const float* x = c.rows.data() + i * c.dim;
        most = std::max(most, dot(x, x, c.dim));
    }
    return std::sqrt(most);
}

double distance(const Case& c) {
    double sum = 0;
    for (std::size_t k = 0; k < c.dim; ++k) sum += std::pow(double{c.query[k]} - c.centre[k], 2);
    return std::sqrt(sum);
}

}  // namespace

TEST(certain_bounds_hold_every_rank) {
    Random random(1);
    for (const std::string& kind : data::kinds()) {
        for (const std::size_t dim : {3U, 64U, 100U, 384U}) {
            const Case c = draw(kind, dim, 77, random);
            const RabitqCodec codec(dim, 1, 5);
            for (const Metric metric : {Metric::kIp, Metric::kL2}) {
                for (const bool moved : {false, true}) {
                    const auto blocks = blocks_of(c, codec, metric, moved);
                    const RotatedQuery rotated(codec, c.query.data(),
                                               moved ? nullptr : c.centre.data());
                    const SignQuery query(codec, rotated, distance(c), 0.0);
                    const Found all = scan(blocks, query, kEverything);
                    CHECK_EQ(all.row.size(), c.count);
                    for (std::size_t i = 0; i < c.count; ++i) {
                        CHECK_EQ(std::size_t{all.row[i]}, i);
                        const double rank = true_rank(c, metric, i);
                        CHECK(all.upper[i] >= rank);
                        const double width = blocks.width(query, i, longest(c));
                        CHECK(double{all.upper[i]} - width <= rank + 1e-6 * std::fabs(rank));
                    }
                    // A threshold at a row's true rank keeps the row.
                    const Found some =
                        scan(blocks, query, static_cast<float>(true_rank(c, metric, 9)));
                    CHECK(std::find(some.row.begin(), some.row.end(), 9U) != some.row.end());
                }
            }
        }
    }
}

TEST(statistical_bounds_fail_as_seldom_as_they_say) {
    Random random(2);
    std::size_t below = 0;
    std::size_t all = 0;
    double slack = 0;
    for (int trial = 0; trial < 40; ++trial) {
        const Case c = draw("gaussian", 128, 250, random);
        const RabitqCodec codec(128, 1, static_cast<std::uint64_t>(trial));
        const auto blocks = blocks_of(c, codec, Metric::kL2, false);
        const RotatedQuery rotated(codec, c.query.data(), c.centre.data());
        const Found two = scan(blocks, SignQuery(codec, rotated, rotated.norm, 2.0), kEverything);
        const Found certain =
            scan(blocks, SignQuery(codec, rotated, rotated.norm, 0.0), kEverything);
        for (std::size_t i = 1; i < c.count; ++i) {  // row 0 is the centre
            below += two.upper[i] < true_rank(c, Metric::kL2, i) ? 1 : 0;
            slack += double{certain.upper[i]} - two.upper[i];
            ++all;
        }
    }
    // One side beyond two deviations: 2.3 %; fewer, since query and row share the centre.
    CHECK(static_cast<double>(below) < 0.035 * static_cast<double>(all));
    CHECK(static_cast<double>(below) > 0.005 * static_cast<double>(all));
    CHECK(slack > 0);
}

TEST(ranks_order_as_scores) {
    Random random(3);
    const Case c = draw("gaussian", 20, 30, random);
    for (std::size_t i = 0; i < c.count; ++i) {
        const float* x = c.rows.data() + i * c.dim;
        double l2 = 0;
        for (std::size_t k = 0; k < c.dim; ++k) l2 -= std::pow(double{c.query[k]} - x[k], 2);
        const double ip = dot(c.query.data(), x, c.dim);
        const double qc = dot(c.query.data(), c.centre.data(), c.dim);
        CHECK(std::fabs(SignQuery::rank_of(Metric::kL2, l2, distance(c), qc) -
                        true_rank(c, Metric::kL2, i)) < 1e-4);
        CHECK(std::fabs(SignQuery::rank_of(Metric::kIp, ip, distance(c), qc) -
                        true_rank(c, Metric::kIp, i)) < 1e-4);
    }
}

TEST(calls_may_be_split_anywhere_between_blocks) {
    Random random(4);
    const Case c = draw("gaussian", 100, 333, random);
    const RabitqCodec codec(100, 1, 7);
    const auto blocks = blocks_of(c, codec, Metric::kIp, false);
    const RotatedQuery rotated(codec, c.query.data(), c.centre.data());
    const SignQuery query(codec, rotated, rotated.norm, 2.0);
    const Found whole = scan(blocks, query, 25.0f);
    CHECK(whole.row.size() > 20 && whole.row.size() < 320);
    std::size_t at = 0;
    std::vector<float> upper(96 + kernels::kSignSlack);
    std::vector<std::uint32_t> row(upper.size());
    for (std::size_t first = 0; first < 333; first += 96) {
        const std::size_t n = blocks.scan(query, first, 96, 25.0f, {upper.data(), row.data()});
        for (std::size_t j = 0; j < n; ++j, ++at) {
            CHECK_EQ(first + row[j], std::size_t{whole.row[at]});
            CHECK_EQ(upper[j], whole.upper[at]);
        }
    }
    CHECK_EQ(at, whole.row.size());
}

TEST_AT_LEVELS(hits_do_not_depend_on_the_level) {
    Random random(5);
    std::uint64_t hash = 1469598103934665603ULL;
    for (const std::size_t dim : {20U, 100U, 384U, 1100U}) {
        const Case c = draw("gaussian", dim, 150, random);
        const RabitqCodec codec(dim, 1, 7);
        for (const Metric metric : {Metric::kIp, Metric::kL2}) {
            const auto blocks = blocks_of(c, codec, metric, true);
            const RotatedQuery rotated(codec, c.query.data(), nullptr);
            const Found found = scan(blocks, SignQuery(codec, rotated, distance(c), 2.0), -1.0f);
            for (std::size_t j = 0; j < found.row.size(); ++j) {
                std::uint32_t bits = 0;
                std::memcpy(&bits, &found.upper[j], 4);
                hash = (hash ^ bits ^ found.row[j]) * 1099511628211ULL;
            }
        }
    }
    CHECK_EQ(hash, 2716660287294848500ULL);
}

TEST(rows_without_a_code_are_always_reported) {
    Random random(6);
    const Case c = draw("gaussian", 40, 10, random);
    const RabitqCodec codec(40, 1, 7);
    SignBlocks blocks = blocks_of(c, codec, Metric::kL2, true);
    blocks.append_unknown();
    const RotatedQuery rotated(codec, c.query.data(), nullptr);
    const Found found = scan(blocks, SignQuery(codec, rotated, distance(c), 2.0), 1e30f);
    CHECK_EQ(found.row.size(), std::size_t{1});
    CHECK_EQ(std::size_t{found.row[0]}, std::size_t{10});
}

TEST(a_factor_undoes_the_length_of_a_query) {
    Random random(8);
    const Case c = draw("gaussian", 40, 20, random);
    const RabitqCodec codec(40, 1, 7);
    std::vector<float> longer = c.query;
    for (float& v : longer) v *= 0x1p9f;
    for (const Metric metric : {Metric::kIp, Metric::kL2}) {
        const SignBlocks blocks = blocks_of(c, codec, metric, true);
        const RotatedQuery one(codec, c.query.data(), nullptr);
        const RotatedQuery other(codec, longer.data(), nullptr);
        const Found found = scan(blocks, SignQuery(codec, one, 3.0, 2.0), kEverything);
        const Found same = scan(blocks, SignQuery(codec, other, 3.0, 2.0, 0x1p-9), kEverything);
        for (std::size_t i = 0; i < c.count; ++i) CHECK_EQ(found.upper[i], same.upper[i]);
    }
}
