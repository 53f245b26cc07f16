// Rotated codes: the layout, decoding, scores and both bounds against float64, on rows that go wrong first;
// the same bytes on every level and for any number of threads.
#include "quant/rabitq/rabitq.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "quant/at_level.h"
#include "quant/data.h"

using namespace nearfield;

namespace {

MatrixView<float> view(const std::vector<float>& x, std::size_t dim) {
    return {x.data(), x.size() / dim, dim};
}

/// Kinds of data::draw() within the norms that have codes.
std::vector<float> rows_of(const std::string& kind, std::size_t count, std::size_t dim,
                           Random& random) {
    return data::draw(kind, count, dim, 1e30, random);
}

long double dot(const float* a, const float* b, std::size_t dim) {
    long double sum = 0;
    for (std::size_t k = 0; k < dim; ++k) sum += static_cast<long double>(a[k]) * b[k];
    return sum;
}

long double true_score(Metric metric, const float* q, const float* x, std::size_t dim) {
    if (metric == Metric::kIp) return dot(q, x, dim);
    long double sum = 0;
    for (std::size_t k = 0; k < dim; ++k) {
        const long double d = static_cast<long double>(q[k]) - x[k];
        sum += d * d;
    }
    return -sum;
}

RabitqQuantizer trained(const std::vector<float>& rows, std::size_t dim, int bits,
                        std::uint64_t seed = 1) {
    RabitqQuantizer quantizer(dim, bits);
    quantizer.train(view(rows, dim), seed, 1);
    return quantizer;
}

std::vector<std::uint8_t> codes_of(const RabitqQuantizer& quantizer, const std::vector<float>& rows,
                                   int threads = 1) {
    std::vector<std::uint8_t> codes(rows.size() / quantizer.dim() * quantizer.code_size());
    quantizer.encode(view(rows, quantizer.dim()), codes.data(), threads);
    return codes;
}

std::vector<float> decoded(const RabitqQuantizer& quantizer, const std::vector<std::uint8_t>& codes,
                           int threads = 1) {
    const std::size_t n = codes.size() / quantizer.code_size();
    std::vector<float> rows(n * quantizer.dim());
    quantizer.decode(codes.data(), n, rows.data(), threads);
    return rows;
}

/// Squared error of decoded rows as a share of the squared distance to the mean.
double relative_error(const RabitqQuantizer& quantizer, const std::vector<float>& rows) {
    const auto back = decoded(quantizer, codes_of(quantizer, rows));
    double lost = 0;
    double whole = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const double mean = quantizer.centre()[i % quantizer.dim()];
        lost += std::pow(double{rows[i]} - back[i], 2);
        whole += std::pow(double{rows[i]} - mean, 2);
    }
    return lost / whole;
}

std::uint64_t digest(const std::vector<std::uint8_t>& bytes) {
    std::uint64_t hash = 1469598103934665603ULL;
    for (const std::uint8_t byte : bytes) hash = (hash ^ byte) * 1099511628211ULL;
    return hash;
}

}  // namespace

TEST(errors_are_what_the_best_grid_for_a_gaussian_leaves) {
    // Max (1960), table 2; a finite row fits its grid better than that.
    const double expected[] = {0,        0.3634,   0.1188,   0.03744, 0.01154,
                               0.003495, 0.001041, 0.000304, 0.000087};
    Random random(1);
    for (const std::size_t dim : {100U, 128U, 384U}) {
        const auto rows = rows_of("gaussian", 400, dim, random);
        for (int bits = 1; bits <= 8; ++bits) {
            const double got = relative_error(trained(rows, dim, bits), rows);
            CHECK(got < expected[bits] * 1.02);
            CHECK(got > expected[bits] * 0.35);
        }
    }
}

TEST(scores_are_those_of_decoded_rows) {
    Random random(2);
    for (const std::size_t dim : {1U, 3U, 8U, 100U, 128U, 384U}) {
        for (const char* kind : {"gaussian", "outlier", "wild_norms", "duplicates", "zeros"}) {
            const auto rows = rows_of(kind, 60, dim, random);
            for (const int bits : {1, 2, 3, 4, 7, 8}) {
                const auto quantizer = trained(rows, dim, bits);
                const auto codes = codes_of(quantizer, rows);
                const auto back = decoded(quantizer, codes);
                const float* q = rows.data() + 7 * dim;
                for (const Metric metric : {Metric::kIp, Metric::kL2}) {
                    const auto scorer = quantizer.make_scorer(metric, q);
                    std::vector<float> all(60);
                    scorer->scores(codes.data(), 60, all.data());
                    for (std::size_t i = 0; i < 60; ++i) {
                        const float* x = back.data() + i * dim;
                        const long double size =
                            std::sqrt(dot(q, q, dim)) + std::sqrt(dot(x, x, dim)) +
                            std::sqrt(dot(quantizer.centre(), quantizer.centre(), dim));
                        const long double apart = all[i] - true_score(metric, q, x, dim);
                        CHECK(std::isinf(all[i]) ||
                              std::fabs(apart) <= 1e-5L * size * size + 1e-40L);
                        float one = 0;
                        scorer->scores(codes.data() + i * quantizer.code_size(), 1, &one);
                        CHECK_EQ(one, all[i]);
                    }
                }
            }
        }
    }
}

TEST(certain_bounds_hold_for_every_pair) {
    Random random(3);
    for (const std::string& kind : data::kinds()) {
        for (const std::size_t dim : {5U, 64U, 100U, 384U}) {
            auto rows = rows_of(kind, 40, dim, random);
            for (const int bits : {1, 2, 4, 8}) {
                const auto quantizer = trained(rows, dim, bits);
                // A row at the centre, and one very near to it.
                std::copy_n(quantizer.centre(), dim, rows.data());
                std::copy_n(quantizer.centre(), dim, rows.data() + dim);
                rows[dim] = std::nextafter(rows[dim], 1e30f);
                const auto codes = codes_of(quantizer, rows);
                for (const Metric metric : {Metric::kIp, Metric::kL2}) {
                    for (const std::size_t j : {0U, 1U, 2U, 39U}) {
                        const float* q = rows.data() + j * dim;
                        const auto estimator = quantizer.estimator(metric, q);
                        for (std::size_t i = 0; i < 40; ++i) {
                            const auto e =
                                estimator.estimate(codes.data() + i * quantizer.code_size(), 0.0);
                            const long double truth =
                                true_score(metric, q, rows.data() + i * dim, dim);
                            CHECK(e.error >= 0);
                            CHECK(std::fabs(truth - e.score) <= e.error);
                        }
                    }
                }
            }
        }
    }
}

TEST(estimates_are_unbiased_and_as_spread_as_stated) {
    // Over rotations, for one pair whose inner product is far from zero: a decoded row would be short by
    // a third.
    constexpr std::size_t dim = 96;
    constexpr int trials = 2000;
    Random random(4);
    auto rows = rows_of("gaussian", 2, dim, random);
    for (std::size_t k = 0; k < dim; ++k) rows[k] = 0.6f * rows[k] + 0.8f * rows[dim + k];
    const std::vector<float> zero(dim);
    for (const int bits : {1, 2, 4}) {
        double sum = 0;
        double squares = 0;
        double outside = 0;
        for (int seed = 0; seed < trials; ++seed) {
            const auto quantizer = trained(zero, dim, bits, static_cast<std::uint64_t>(seed));
            const auto codes = codes_of(quantizer, rows);
            const auto estimator = quantizer.estimator(Metric::kIp, rows.data() + dim);
            const auto e = estimator.estimate(codes.data(), 1.0);
            const double z =
                (e.score - static_cast<double>(dot(rows.data(), rows.data() + dim, dim))) / e.error;
            sum += z;
            squares += z * z;
            outside += std::fabs(z) > 3.0 ? 1 : 0;
        }
        // The stated deviation is for a query at right angles to the row; this one has sine 0.6.
        const double sine = 0.6;
        CHECK(std::fabs(sum / trials) < 4.0 * sine / std::sqrt(trials));
        CHECK(std::sqrt(squares / trials) < 1.0);
        CHECK(std::sqrt(squares / trials) > 0.8 * sine);
        CHECK(outside / trials < 0.003);
    }
}

TEST(estimating_scorers_give_the_estimates) {
    Random random(11);
    constexpr std::size_t dim = 100;
    const auto rows = rows_of("gaussian", 50, dim, random);
    const auto quantizer = trained(rows, dim, 2);
    const auto codes = codes_of(quantizer, rows);
    for (const Metric metric : {Metric::kIp, Metric::kL2}) {
        std::vector<float> scores(50);
        quantizer.make_estimating_scorer(metric, rows.data())
            ->scores(codes.data(), 50, scores.data());
        const auto estimator = quantizer.estimator(metric, rows.data());
        for (std::size_t i = 0; i < 50; ++i) {
            const auto e = estimator.estimate(codes.data() + i * quantizer.code_size(), 0.0);
            CHECK_EQ(scores[i], static_cast<float>(e.score));
        }
    }
}

TEST(a_prefix_of_the_planes_is_the_code_of_one_bit) {
    Random random(5);
    constexpr std::size_t dim = 100;
    const auto rows = rows_of("gaussian", 50, dim, random);
    const auto one = trained(rows, dim, 1);
    const auto eight = trained(rows, dim, 8);
    const auto codes = codes_of(one, rows);
    RabitqCodec::Scratch scratch(eight.codec());
    std::vector<std::uint8_t> code(eight.code_size());
    for (std::size_t i = 0; i < 50; ++i) {
        RabitqFactors signs{};
        CHECK(eight.codec().encode(rows.data() + i * dim, eight.centre(), scratch, code.data(),
                                   &signs));
        const std::uint8_t* expected = codes.data() + i * one.code_size();
        CHECK_EQ(std::memcmp(&signs, expected, RabitqCodec::kHeader), 0);
        CHECK_EQ(std::memcmp(code.data() + RabitqCodec::kHeader, expected + RabitqCodec::kHeader,
                             one.codec().plane_size()),
                 0);
    }
}

TEST(codes_are_those_of_the_definition) {
    // From tests/oracle/rabitq.py, where the same row is tested: float64, dense matrices, every scale.
    std::vector<float> row(20);
    for (std::size_t k = 0; k < 20; ++k) row[k] = static_cast<float>(7 * k % 11) - 5.0f;
    const std::vector<float> zero(20);
    const std::vector<std::vector<int>> planes{{115, 160, 100}, {115, 160, 100, 134, 21, 171}};
    const double factors[][2] = {{5.156270959, 6.992715921}, {3.145925083, 3.382408456}};
    for (const std::size_t bits : {1U, 2U}) {
        const auto quantizer = trained(zero, 20, static_cast<int>(bits), 1);
        const auto code = codes_of(quantizer, row);
        const RabitqFactors f = quantizer.codec().factors(code.data());
        CHECK(std::fabs(f.scale - factors[bits - 1][0]) < 2e-6);
        CHECK(std::fabs(f.unbiased - factors[bits - 1][1]) < 2e-6);
        CHECK(std::fabs(f.norm - 14.491376746) < 4e-6);
        CHECK_EQ(f.along, 0.0f);
        for (std::size_t k = 0; k < planes[bits - 1].size(); ++k) {
            CHECK_EQ(int{code[RabitqCodec::kHeader + k]}, planes[bits - 1][k]);
        }
    }
}

TEST(threads_do_not_change_codes_or_rows) {
    Random random(6);
    const auto rows = rows_of("outlier", 333, 100, random);
    for (const int bits : {1, 4}) {
        RabitqQuantizer serial(100, bits);
        RabitqQuantizer parallel(100, bits);
        serial.train(view(rows, 100), 9, 1);
        parallel.train(view(rows, 100), 9, 2);
        const auto codes = codes_of(serial, rows, 1);
        CHECK(codes == codes_of(parallel, rows, 2));
        CHECK(decoded(serial, codes, 1) == decoded(parallel, codes, 2));
    }
}

TEST(any_bytes_decode_to_finite_rows) {
    Random random(7);
    for (const std::size_t dim : {3U, 100U, 128U}) {
        const auto quantizer = trained(rows_of("gaussian", 10, dim, random), dim, 3);
        std::vector<std::uint8_t> codes(200 * quantizer.code_size());
        for (auto& byte : codes) byte = static_cast<std::uint8_t>(random.next());
        for (const float v : decoded(quantizer, codes)) CHECK(std::isfinite(v));
    }
}

TEST(wrong_calls_change_nothing) {
    CHECK_THROWS(std::invalid_argument, RabitqQuantizer(8, 0));
    CHECK_THROWS(std::invalid_argument, RabitqQuantizer(8, 9));
    CHECK_THROWS(std::invalid_argument, RabitqQuantizer(0, 4));
    Random random(8);
    auto rows = rows_of("gaussian", 20, 8, random);
    RabitqQuantizer quantizer(8, 4);
    std::vector<std::uint8_t> codes(20 * quantizer.code_size());
    CHECK_THROWS(NotTrained, quantizer.encode(view(rows, 8), codes.data(), 1));
    CHECK_THROWS(NotTrained, quantizer.make_scorer(Metric::kIp, rows.data()));
    CHECK_THROWS(std::invalid_argument, quantizer.train(view(rows, 10), 1, 1));
    CHECK_THROWS(std::invalid_argument, quantizer.train({rows.data(), 0, 8}, 1, 1));
    quantizer.train(view(rows, 8), 1, 1);
    CHECK_THROWS(std::invalid_argument, quantizer.make_scorer(Metric::kCosine, rows.data()));
    const auto before = codes_of(quantizer, rows);
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), 3e38f}) {
        auto broken = rows;
        broken[13 * 8 + 3] = bad;
        std::string message;
        try {
            quantizer.encode(view(broken, 8), codes.data(), 1);
        } catch (const std::invalid_argument& error) {
            message = error.what();
        }
        CHECK(message.find("row 13") != std::string::npos);
        if (!std::isfinite(bad)) {
            CHECK_THROWS(std::invalid_argument, quantizer.train(view(broken, 8), 2, 1));
        }
    }
    CHECK(before == codes_of(quantizer, rows));
}

TEST(parameters_restore_the_quantizer) {
    Random random(9);
    const auto rows = rows_of("gaussian", 30, 20, random);
    const auto quantizer = trained(rows, 20, 5, 0xfedcba9876543210ULL);
    auto saved = quantizer.parameters();
    RabitqQuantizer other(20, 5);
    other.restore(saved);
    CHECK(codes_of(quantizer, rows) == codes_of(other, rows));
    for (const int damage : {0, 1, 2, 3, 4}) {
        auto broken = saved;
        if (damage == 0) broken.pop_back();
        if (damage == 1) broken[0].values[3] = std::nanf("");
        if (damage == 2) broken[1].values[0] = 65536.0f;
        if (damage == 3) broken[1].values[0] = 0.5f;
        if (damage == 4) broken[0].name = "center";
        CHECK_THROWS(std::invalid_argument, other.restore(broken));
        CHECK(codes_of(quantizer, rows) == codes_of(other, rows));
    }
}

TEST_AT_LEVELS(codes_do_not_depend_on_the_level) {
    Random random(10);
    std::string found;
    for (const std::size_t dim : {20U, 100U, 384U}) {
        std::vector<float> rows;
        for (const std::string& kind : data::kinds()) {
            const auto more = rows_of(kind, 10, dim, random);
            rows.insert(rows.end(), more.begin(), more.end());
        }
        for (const int bits : {1, 3, 4, 8}) {
            const auto quantizer = trained(rows, dim, bits);
            const auto codes = codes_of(quantizer, rows);
            std::vector<float> scores(rows.size() / dim);
            quantizer.make_scorer(Metric::kL2, rows.data())
                ->scores(codes.data(), scores.size(), scores.data());
            std::vector<std::uint8_t> bytes(scores.size() * 4);
            std::memcpy(bytes.data(), scores.data(), bytes.size());
            found += std::to_string((digest(codes) ^ digest(bytes)) % 10000) + " ";
        }
    }
    CHECK_EQ(found, "7171 2140 1895 4533 4671 7909 7622 5119 2536 9170 6114 1902 ");
}
