// Rows side by side: transposed rows, products with a matrix, nearest centroids.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"
#include "kernels/values.h"

using nearfield::Random;
using nearfield::kernels::kLanes;
using nearfield::kernels::ProductArgs;

namespace {

constexpr std::size_t kDepths[] = {1, 2, 3, 4, 7, 8, 16, 33};

std::vector<float> gaussians(Random& random, std::size_t n) {
    std::vector<float> x(n);
    for (float& value : x) value = values::gaussian(random);
    return x;
}

/// Fused steps by definition: long double holds the sum of a product and a float32 to the last bit
/// that matters for values of like size.
float naive_dot(const float* a, const float* b, std::size_t stride, std::size_t depth, float acc) {
    for (std::size_t d = 0; d < depth; ++d) acc = std::fma(a[d], b[d * stride], acc);
    return acc;
}

}  // namespace

TEST_LEVELS(fused_products_by_definition) {
    Random random(1);
    for (const std::size_t depth : kDepths) {
        for (const std::size_t rows : {1U, 3U, 4U, 5U, 9U}) {
            guarded::Arena memory((kLanes * rows + depth * rows) * sizeof(float));
            const auto b = gaussians(random, depth * kLanes);
            auto* a = memory.back<float>(rows * depth);
            for (std::size_t i = 0; i < rows * depth; ++i) a[i] = values::gaussian(random);
            auto* out = memory.front<float>();
            for (const bool add : {false, true}) {
                std::vector<float> before(out, out + rows * kLanes);
                table.multiply_lanes(
                    ProductArgs{a, depth, rows, b.data(), kLanes, depth, out, kLanes, add});
                for (std::size_t i = 0; i < rows * kLanes; ++i) {
                    const float expected = naive_dot(a + i / kLanes * depth, b.data() + i % kLanes,
                                                     kLanes, depth, add ? before[i] : 0.0f);
                    CHECK_EQ(values::bits(out[i]), values::bits(expected));
                }
            }
        }
    }
}

TEST_LEVELS(fused_products_of_any_floats) {
    Random random(7);
    std::vector<float> b(4 * kLanes);
    for (int round = 0; round < 2000; ++round) {
        const float scale = std::ldexp(1.0f, static_cast<int>(random.below(200)) - 100);
        float a[4];
        for (float& value : a) value = values::gaussian(random) * scale;
        for (float& value : b) {
            const int power = static_cast<int>(random.below(80)) - 40;
            value = std::ldexp(values::gaussian(random), power) / scale;
        }
        float out[kLanes];
        table.multiply_lanes({a, 4, 1, b.data(), kLanes, 4, out, kLanes, false});
        for (std::size_t i = 0; i < kLanes; ++i) {
            CHECK_EQ(values::bits(out[i]),
                     values::bits(naive_dot(a, b.data() + i, kLanes, 4, 0.0f)));
        }
    }
}

TEST_LEVELS(nearest_is_the_first_smallest) {
    Random random(2);
    for (const std::size_t depth : kDepths) {
        for (const std::size_t k : {4U, 16U, 256U}) {
            guarded::Arena memory(k * (depth + 1) * sizeof(float));
            auto* weights = memory.back<float>(k * depth);
            const auto x = gaussians(random, depth * kLanes);
            const auto bias = gaussians(random, k);
            for (std::size_t i = 0; i < k * depth; ++i) weights[i] = values::gaussian(random);
            // Twins: the smaller number wins.
            for (std::size_t d = 0; d < depth; ++d) weights[(k - 1) * depth + d] = weights[d];
            std::vector<float> tied(bias);
            tied[k - 1] = tied[0];
            std::uint32_t nearest[kLanes];
            table.nearest_lanes(x.data(), depth, weights, tied.data(), k, nearest);
            for (std::size_t lane = 0; lane < kLanes; ++lane) {
                std::uint32_t best = 0;
                float least = std::numeric_limits<float>::infinity();
                for (std::size_t c = 0; c < k; ++c) {
                    const float value =
                        naive_dot(weights + c * depth, x.data() + lane, kLanes, depth, tied[c]);
                    if (value < least) {
                        least = value;
                        best = static_cast<std::uint32_t>(c);
                    }
                }
                CHECK_EQ(nearest[lane], best);
            }
        }
    }
}

TEST_LEVELS(rows_become_lanes) {
    Random random(3);
    for (const std::size_t dim : {1U, 15U, 16U, 17U, 40U}) {
        for (const std::size_t count : {1U, 63U, 64U}) {
            guarded::Arena memory(count * (dim + 3) * sizeof(float));
            auto* rows = memory.back<float>(count * (dim + 3) - 3);
            for (std::size_t i = 0; i < count * (dim + 3) - 3; ++i)
                rows[i] = values::gaussian(random);
            std::vector<float> out(dim * kLanes, -1.0f);
            table.lanes_from_rows(rows, (dim + 3) * sizeof(float), count, dim, out.data());
            for (std::size_t i = 0; i < out.size(); ++i) {
                const std::size_t row = i % kLanes;
                CHECK_EQ(out[i], row < count ? rows[row * (dim + 3) + i / kLanes] : 0.0f);
            }
        }
    }
}

TEST_LEVELS(centring_is_the_same_everywhere_and_bounded) {
    Random random(4);
    const std::size_t depth = 5;
    auto x = gaussians(random, depth * kLanes);
    x[3] = 3e38f;
    x[kLanes + 5] = -3e38f;
    const float centre[] = {-3e38f, 0.5f, 1e-3f, 0.0f, -7.0f};
    const float scale[] = {4.0f, 0x1p120f, 1.0f, 0.25f, 0x1p-20f};
    auto out = x;
    table.centre_lanes(out.data(), depth, centre, scale, 1e10f);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const float moved = (x[i] - centre[i / kLanes]) * scale[i / kLanes];
        CHECK_EQ(out[i], std::fmin(std::fmax(moved, -1e10f), 1e10f));
    }
}
