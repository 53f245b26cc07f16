// What transforms are made of: products with a matrix, weighted sums of rows, softmax, tanh.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"
#include "kernels/values.h"

using nearfield::Random;
using nearfield::kernels::kPanelOutputs;
using nearfield::kernels::kProductBlock;

namespace {

std::vector<float> gaussians(Random& random, std::size_t n) {
    std::vector<float> x(n);
    for (float& value : x) value = values::gaussian(random);
    return x;
}

/// The order that every level promises: fused within a block, block sums added.
float in_order(const float* x, const float* w, std::size_t step, std::size_t depth, float sum,
               bool add) {
    for (std::size_t first = 0; first < depth; first += kProductBlock) {
        float block = 0.0f;
        for (std::size_t d = first; d < depth && d < first + kProductBlock; ++d) {
            block = std::fma(x[d], w[d * step], block);
        }
        sum = add || first != 0 ? sum + block : block;
    }
    return sum;
}

double relative(float found, double expected) {
    return std::abs(static_cast<double>(found) - expected) / std::abs(expected);
}

}  // namespace

TEST_LEVELS(products_by_definition) {
    Random random(1);
    for (const std::size_t depth : {1U, 7U, 128U, 129U, 300U}) {
        for (const std::size_t outputs : {1U, 15U, 16U, 17U, 64U, 100U}) {
            const std::size_t panels = (outputs + kPanelOutputs - 1) / kPanelOutputs;
            const std::size_t step = depth * kPanelOutputs;
            for (const std::size_t rows : {1U, 5U, 6U, 13U}) {
                guarded::Arena weights(panels * step * sizeof(float));
                guarded::Arena memory(rows * (depth + outputs) * sizeof(float));
                auto* w = weights.back<float>(panels * step);
                for (std::size_t i = 0; i < panels * step; ++i) w[i] = values::gaussian(random);
                const auto x = gaussians(random, rows * depth);
                auto* out = memory.back<float>(rows * outputs);
                for (const bool add : {false, true}) {
                    const std::vector<float> before(out, out + rows * outputs);
                    table.multiply_rows_f32({x.data(), depth, rows, depth, w, step, kPanelOutputs,
                                             outputs, out, outputs, add});
                    for (std::size_t i = 0; i < rows * outputs; ++i) {
                        const std::size_t j = i % outputs;
                        const float* column = w + j / kPanelOutputs * step + j % kPanelOutputs;
                        const float expected = in_order(x.data() + i / outputs * depth, column,
                                                        kPanelOutputs, depth, before[i], add);
                        CHECK_EQ(values::bits(out[i]), values::bits(expected));
                    }
                }
            }
        }
    }
}

TEST_LEVELS(products_with_rows_as_they_lie) {
    Random random(2);
    const std::size_t depth = 200;
    const std::size_t outputs = 48;
    const auto w = gaussians(random, depth * outputs);
    const auto x = gaussians(random, 7 * depth);
    std::vector<float> out(7 * outputs);
    table.multiply_rows_f32({x.data(), depth, 7, depth, w.data(), kPanelOutputs, outputs, outputs,
                             out.data(), outputs, false});
    for (std::size_t i = 0; i < out.size(); ++i) {
        const float expected = in_order(x.data() + i / outputs * depth, w.data() + i % outputs,
                                        outputs, depth, 0.0f, false);
        CHECK_EQ(values::bits(out[i]), values::bits(expected));
    }
}

TEST_LEVELS(weighted_rows_by_definition) {
    Random random(3);
    for (const std::size_t dim : {1U, 9U, 16U, 63U, 64U, 131U}) {
        for (const std::size_t n : {0U, 1U, 127U, 129U, 300U}) {
            guarded::Arena memory(20 * dim * sizeof(float));
            auto* rows = memory.back<float>(20 * dim);
            for (std::size_t i = 0; i < 20 * dim; ++i) rows[i] = values::gaussian(random);
            const auto weights = gaussians(random, n);
            std::vector<std::uint32_t> ids(n);
            for (auto& id : ids) id = static_cast<std::uint32_t>(random.below(20));
            auto sum = gaussians(random, dim);
            const auto before = sum;
            table.add_weighted_rows_f32(rows, dim, ids.data(), weights.data(), n, dim, sum.data());
            for (std::size_t j = 0; j < dim; ++j) {
                std::vector<float> column(n);
                for (std::size_t i = 0; i < n; ++i) column[i] = rows[ids[i] * dim + j];
                const float expected =
                    in_order(weights.data(), column.data(), 1, n, before[j], true);
                CHECK_EQ(values::bits(sum[j]), values::bits(expected));
            }
        }
    }
}

TEST_LEVELS(softmax_is_accurate_and_the_same_everywhere) {
    Random random(4);
    for (const std::size_t n : {1U, 3U, 15U, 16U, 17U, 64U, 200U}) {
        for (const float spread : {0.1f, 3.0f, 30.0f}) {
            guarded::Arena memory(n * sizeof(float));
            auto* x = memory.back<float>(n);
            for (std::size_t i = 0; i < n; ++i) x[i] = values::gaussian(random) * spread;
            std::vector<float> other(x, x + n);
            float most = x[0];
            double sum = 0.0;
            for (const float value : other) most = std::max(most, value);
            std::vector<double> expected;
            for (const float value : other) {
                expected.push_back(std::exp(static_cast<double>(value) - most));
                sum += expected.back();
            }
            table.softmax_f32(x, n);
            levels::portable().softmax_f32(other.data(), n);
            for (std::size_t i = 0; i < n; ++i) {
                CHECK_EQ(values::bits(x[i]), values::bits(other[i]));
                // Differences of scores are rounded before they are exponents.
                if (expected[i] > 1e-30) CHECK(relative(x[i], expected[i] / sum) < 8e-6);
                if (spread < 5.0f) CHECK(relative(x[i], expected[i] / sum) < 2e-6);
            }
        }
    }
}

TEST_LEVELS(modulation_by_definition) {
    Random random(5);
    for (const std::size_t n : {1U, 10U, 16U, 50U}) {
        const auto z = gaussians(random, n);
        const auto x = gaussians(random, n);
        std::vector<float> out(n), other(n);
        table.modulate_f32(z.data(), x.data(), n, out.data());
        levels::portable().modulate_f32(z.data(), x.data(), n, other.data());
        float most = z[0];
        for (const float value : z) most = std::max(most, value);
        for (std::size_t i = 0; i < n; ++i) {
            CHECK_EQ(values::bits(out[i]), values::bits(other[i]));
            const double factor = std::exp(static_cast<double>(z[i]) - most);
            CHECK(relative(out[i], factor * static_cast<double>(x[i])) < 1e-6);
        }
    }
}

TEST_LEVELS(functions_of_elements_within_a_few_units) {
    std::vector<float> x;
    for (int i = -100000; i <= 100000; ++i) x.push_back(static_cast<float>(i) * 5e-4f);
    for (const float tiny : {1e-30f, -1e-10f, 1e-3f, 0.6249f, 0.6251f, -0.625f}) x.push_back(tiny);
    auto bent = x;
    auto squashed = x;
    table.tanh_f32(bent.data(), bent.size());
    table.logistic_f32(squashed.data(), squashed.size());
    auto portable_bent = x;
    auto portable_squashed = x;
    levels::portable().tanh_f32(portable_bent.data(), x.size());
    levels::portable().logistic_f32(portable_squashed.data(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK_EQ(values::bits(bent[i]), values::bits(portable_bent[i]));
        CHECK_EQ(values::bits(squashed[i]), values::bits(portable_squashed[i]));
        const auto exact = static_cast<double>(x[i]);
        if (x[i] != 0.0f) CHECK(relative(bent[i], std::tanh(exact)) < 4e-7);
        CHECK(relative(squashed[i], 1.0 / (1.0 + std::exp(-exact))) < 4e-7);
    }
}

TEST_LEVELS(overflow_shows) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (const float bad : {kInfinity, -kInfinity, std::nanf("")}) {
        for (const std::size_t n : {1U, 5U, 20U, 40U}) {
            for (std::size_t at = 0; at < n; ++at) {
                std::vector<float> x(n, 0.5f);
                x[at] = bad;
                auto bent = x;
                table.tanh_f32(bent.data(), n);
                CHECK(!std::isfinite(bent[at]));
                auto squashed = x;
                table.logistic_f32(squashed.data(), n);
                CHECK(!std::isfinite(squashed[at]));
                auto shares = x;
                table.softmax_f32(shares.data(), n);
                for (const float share : shares) CHECK(!std::isfinite(share));
                std::vector<float> out(n);
                table.modulate_f32(x.data(), std::vector<float>(n, 1.0f).data(), n, out.data());
                CHECK(!std::isfinite(out[at]));
            }
        }
    }
}
