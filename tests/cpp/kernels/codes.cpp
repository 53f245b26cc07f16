// Code making: largest magnitude, rounding to bytes, and the squared length of what rounding left.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"
#include "kernels/values.h"

using nearfield::Random;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// round(x * inverse) + 128, ties to even, within 1..255.
std::uint8_t naive_code(float x, float inverse) {
    const float product = x * inverse;
    const double rounded = std::nearbyint(static_cast<double>(product));
    return static_cast<std::uint8_t>(std::fmin(std::fmax(rounded, -127.0), 127.0) + 128.0);
}

}  // namespace

TEST_LEVELS(max_abs_sees_every_element) {
    guarded::Arena memory(values::kMostDim * sizeof(float));
    Random random(2);
    for (const std::size_t n : values::dims()) {
        for (const bool at_back : {true, false}) {
            auto* x = memory.at<float>(at_back, n);
            for (std::size_t k = 0; k < n; ++k) x[k] = values::gaussian(random);
            const auto where = static_cast<std::size_t>(random.below(n));
            for (const float value : {7.5f, -7.5f, -3e38f}) {
                x[where] = value;
                CHECK_EQ(table.max_abs(x, n), std::fabs(value));
            }
            for (const float value : {kInfinity, -kInfinity, std::nanf(""), -std::nanf("1"),
                                      values::from_bits(0x7f800001u)}) {
                x[where] = value;
                CHECK_EQ(table.max_abs(x, n), kInfinity);
            }
        }
    }
    const float tiny[3] = {-0.0f, 0x1p-149f, -0x1p-148f};
    CHECK_EQ(values::bits(table.max_abs(tiny, 1)), 0U);
    CHECK_EQ(table.max_abs(tiny, 3), 0x1p-148f);
    CHECK_EQ(table.max_abs(tiny, 0), 0.0f);
}

TEST_LEVELS(quantize_rounds_to_even_and_clamps) {
    guarded::Arena input(values::kMostDim * sizeof(float));
    guarded::Arena output(values::kMostDim);
    Random random(4);
    for (const std::size_t n : values::dims()) {
        for (const bool at_back : {true, false}) {
            auto* x = input.at<float>(at_back, n);
            auto* code = output.at<std::uint8_t>(at_back, n);
            const float inverse =
                std::ldexp(1.0f + random.uniform_float(), static_cast<int>(random.below(40)) - 20);
            for (std::size_t k = 0; k < n; ++k) {
                switch (random.below(4)) {
                    case 0:  // ties
                        x[k] = (static_cast<float>(random.below(260)) - 130.0f + 0.5f) / inverse;
                        break;
                    case 1: x[k] = std::ldexp(values::gaussian(random), 25) / inverse; break;
                    default: x[k] = values::gaussian(random) * 40.0f / inverse; break;
                }
            }
            table.quantize_u8(x, n, inverse, code);
            for (std::size_t k = 0; k < n; ++k) {
                CHECK_EQ(int{code[k]}, int{naive_code(x[k], inverse)});
            }
        }
    }
}

TEST_LEVELS(quantize_exact_halves) {
    std::vector<float> x;
    for (int half = -300; half <= 300; ++half) x.push_back(static_cast<float>(half) / 2.0f);
    std::vector<std::uint8_t> code(x.size());
    table.quantize_u8(x.data(), x.size(), 1.0f, code.data());
    for (std::size_t k = 0; k < x.size(); ++k) CHECK_EQ(int{code[k]}, int{naive_code(x[k], 1.0f)});
}

TEST_LEVELS(residual_is_the_same_everywhere) {
    guarded::Arena input(values::kMostDim * sizeof(float));
    guarded::Arena codes(values::kMostDim);
    Random random(6);
    for (const std::size_t n : values::dims()) {
        for (const bool at_back : {true, false}) {
            auto* x = input.at<float>(at_back, n);
            auto* code = codes.at<std::uint8_t>(!at_back, n);
            const double scale =
                std::ldexp(1.0 + random.uniform_double(), static_cast<int>(random.below(60)) - 30);
            long double expected = 0;
            for (std::size_t k = 0; k < n; ++k) {
                x[k] = values::gaussian(random);
                code[k] = static_cast<std::uint8_t>(random.next());
                const long double rest =
                    x[k] - static_cast<long double>(scale) * (static_cast<int>(code[k]) - 128);
                expected += rest * rest;
            }
            const double got = table.residual_u8(x, code, scale, n);
            CHECK_EQ(values::bits(got),
                     values::bits(levels::portable().residual_u8(x, code, scale, n)));
            // The product is rounded before the difference is taken.
            const long double share = std::ldexp(static_cast<long double>(n) / 32 + 16, -53);
            CHECK(std::fabs(got - expected) <=
                  share * (expected + static_cast<long double>(scale) * scale * 128 * 128 * n));
        }
    }
}
