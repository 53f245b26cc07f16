// Kernels of rotated codes: every level gives the bits of the definition written out here.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/random.h"
#include "base/types.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"
#include "kernels/values.h"

using nearfield::Random;
using nearfield::round_up;
using namespace nearfield::kernels;

namespace {

std::vector<std::size_t> even_dims() {
    std::vector<std::size_t> all;
    for (std::size_t d = 8; d <= 264; d += 8) all.push_back(d);
    all.insert(all.end(), {384, 504, 512, 768, 1000, 1024, 1536, 2056});
    return all;
}

void naive_hadamard(float* x, std::size_t n) {
    for (std::size_t h = 1; h < n; h *= 2) {
        for (std::size_t k = 0; k < n; ++k) {
            if ((k & h) != 0) continue;
            const float a = x[k];
            const float b = x[k + h];
            x[k] = a + b;
            x[k + h] = a - b;
        }
    }
}

void naive_rotation(float* x, const RotationPlan& p) {
    for (std::size_t r = 0; r < p.rounds; ++r) {
        for (std::size_t k = 0; k < p.dim; ++k) x[k] *= p.factors[r * p.dim + k];
        naive_hadamard(x + (r % 2 == 0 ? 0 : p.dim - p.window), p.window);
        if (p.window == p.dim) continue;
        for (std::size_t k = 0; k < p.dim / 2; ++k) {
            const float a = x[k];
            const float b = x[k + p.dim / 2];
            x[k] = a + b;
            x[k + p.dim / 2] = a - b;
        }
    }
}

std::vector<std::uint8_t> random_bytes(Random& random, std::size_t n, std::uint64_t below = 256) {
    std::vector<std::uint8_t> bytes(n);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.below(below));
    return bytes;
}

/// A table as kernels::SignScan wants it, from one weight and one direction a dim.
std::vector<std::uint8_t> table_of(const std::vector<std::uint8_t>& weights,
                                   const std::vector<std::uint8_t>& negative) {
    const std::size_t bytes = weights.size() / 8;
    std::vector<std::uint8_t> table(sign_table_bytes(bytes));
    for (std::size_t g = 0; g < 2 * bytes; ++g) {
        for (std::size_t v = 0; v < 16; ++v) {
            unsigned sum = 0;
            for (std::size_t j = 0; j < 4; ++j) {
                if (((v >> j) & 1) != negative[4 * g + j]) sum += weights[4 * g + j];
            }
            const std::size_t at = (g % 2) * table.size() / 2 + g / 2 * 32 + v;
            table[at] = table[at + 16] = static_cast<std::uint8_t>(sum);
        }
    }
    return table;
}

}  // namespace

TEST_LEVELS(rotation_is_what_it_says_to_the_last_bit) {
    Random random(1);
    guarded::Arena memory(2056 * sizeof(float));
    for (const std::size_t dim : even_dims()) {
        std::size_t window = 8;
        while (2 * window <= dim) window *= 2;
        for (const std::size_t rounds : {1U, 2U, 4U}) {
            std::vector<float> factors(rounds * dim);
            for (float& f : factors) f = values::gaussian(random);
            const RotationPlan plan{factors.data(), dim, window, rounds};
            auto* x = memory.at<float>(rounds != 2, dim);
            for (std::size_t k = 0; k < dim; ++k) x[k] = values::gaussian(random);
            std::vector<float> expected(x, x + dim);
            naive_rotation(expected.data(), plan);
            table.rotate_f32(x, plan);
            CHECK_EQ(std::memcmp(x, expected.data(), dim * sizeof(float)), 0);
            levels::portable().rotate_back_f32(expected.data(), plan);
            table.rotate_back_f32(x, plan);
            CHECK_EQ(std::memcmp(x, expected.data(), dim * sizeof(float)), 0);
        }
    }
}

TEST_LEVELS(rotating_back_is_the_transposed_matrix) {
    Random random(2);
    constexpr std::size_t dim = 24;
    std::vector<float> factors(4 * dim);
    for (float& f : factors) f = random.below(2) == 0 ? 1.0f : -1.0f;
    const RotationPlan plan{factors.data(), dim, 16, 4};
    for (std::size_t i = 0; i < dim; ++i) {
        std::vector<float> column(dim);
        column[i] = 1.0f;
        table.rotate_f32(column.data(), plan);
        for (std::size_t j = 0; j < dim; ++j) {
            std::vector<float> row(dim);
            row[j] = 1.0f;
            table.rotate_back_f32(row.data(), plan);
            CHECK_EQ(column[j], row[i]);
        }
    }
}

TEST_LEVELS(grids_round_clamp_and_sum_alike) {
    Random random(3);
    guarded::Arena memory(2048 * sizeof(float));
    guarded::Arena bytes(2048);
    for (std::size_t n = kGridLanes; n <= 2048; n += n < 256 ? kGridLanes : 448) {
        for (const int bits : {1, 2, 3, 4, 5, 6, 7, 8}) {
            const auto half = static_cast<float>(1 << (bits - 1));
            auto* x = memory.back<float>(n);
            auto* code = bytes.back<std::uint8_t>(n);
            const float inverse = std::ldexp(1.0f + random.uniform_float(), bits - 3);
            for (std::size_t k = 0; k < n; ++k) {
                x[k] = values::gaussian(random);
                if (random.below(8) == 0) x[k] = std::nearbyint(4.0f * x[k]) / inverse;
            }
            table.grid_codes_f32(x, n, inverse, half, code);
            GridFit fit{};
            table.fit_grid_f32(x, n, inverse, half, &fit);
            GridFit portable{};
            levels::portable().fit_grid_f32(x, n, inverse, half, &portable);
            CHECK_EQ(values::bits(fit.dot), values::bits(portable.dot));
            CHECK_EQ(values::bits(fit.norm), values::bits(portable.norm));
            double dot = 0;
            double norm = 0;
            for (std::size_t k = 0; k < n; ++k) {
                const float shifted = x[k] * inverse - 0.5f;
                const float inside = std::fmin(std::fmax(shifted, -half), half - 1.0f);
                CHECK_EQ(int{code[k]}, static_cast<int>(std::nearbyint(inside) + half));
                const double y = code[k] - double{half} + 0.5;
                dot += double{x[k]} * y;
                norm += y * y;
            }
            CHECK(std::fabs(fit.dot - dot) <= 1e-5 * (std::fabs(dot) + static_cast<double>(n)));
            CHECK(std::fabs(fit.norm - norm) <= 1e-5 * norm);
        }
    }
}

TEST_LEVELS(planes_hold_bits_from_the_highest_down) {
    Random random(4);
    guarded::Arena codes(2048);
    guarded::Arena packed(2048);
    for (std::size_t n = 8; n <= 2048; n += n < 280 ? 8 : 232) {
        for (std::size_t bits = 1; bits <= 8; ++bits) {
            auto* code = codes.back<std::uint8_t>(n);
            auto* planes = packed.back<std::uint8_t>(n / 8 * bits);
            const auto values = random_bytes(random, n, std::uint64_t{1} << bits);
            std::memcpy(code, values.data(), n);
            table.pack_planes(code, n, bits, planes);
            for (std::size_t k = 0; k < n; ++k) {
                for (std::size_t b = 0; b < bits; ++b) {
                    CHECK_EQ((planes[b * (n / 8) + k / 8] >> (k % 8)) & 1,
                             (values[k] >> (bits - 1 - b)) & 1);
                }
            }
            std::memset(code, 0xee, n);
            table.unpack_planes(planes, n, bits, code);
            CHECK_EQ(std::memcmp(code, values.data(), n), 0);
        }
    }
}

TEST_LEVELS(nibble_rows_sum_exactly) {
    Random random(5);
    guarded::Arena memory(9 * 832);
    for (const std::size_t depth : {64U, 128U, 192U, 384U, 768U}) {
        for (std::size_t count = 1; count <= 9; ++count) {
            auto* rows = memory.back<std::uint8_t>(count * depth);
            std::vector<std::int8_t> q(2 * depth);
            for (auto& v : q)
                v = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
            const bool extreme = count == 3;
            if (extreme) std::fill(q.begin(), q.end(), std::int8_t{-127});
            for (std::size_t k = 0; k < count * depth; ++k) {
                rows[k] = extreme ? 0xff : static_cast<std::uint8_t>(random.next());
            }
            std::vector<std::int32_t> out(count);
            table.rows_u4(rows, depth, count, q.data(), depth, -7, out.data());
            for (std::size_t i = 0; i < count; ++i) {
                std::int32_t expected = -7;
                for (std::size_t k = 0; k < 2 * depth; ++k) {
                    const std::uint8_t byte = rows[i * depth + k / 128 * 64 + k % 64];
                    expected += (k % 128 < 64 ? byte & 15 : byte >> 4) * q[k];
                }
                CHECK_EQ(out[i], expected);
            }
        }
    }
}

TEST_LEVELS(sign_sums_are_exact) {
    Random random(6);
    for (const std::size_t bytes : {1U, 2U, 3U, 13U, 16U, 48U, 96U, 127U, 128U, 129U, 192U, 515U}) {
        for (const std::size_t count : {1U, 15U, 16U, 17U, 31U, 32U, 33U, 100U}) {
            const std::size_t room = round_up(count, kSignRows);
            guarded::Arena memory(room * bytes);
            auto* blocks = memory.back<std::uint8_t>(room * bytes);
            const bool full = count == 33;  // the largest sums
            for (std::size_t k = 0; k < room * bytes; ++k) {
                blocks[k] = full ? 0xff : static_cast<std::uint8_t>(random.next());
            }
            auto weights = random_bytes(random, 8 * bytes, kMostWeight + 1);
            auto negative = random_bytes(random, 8 * bytes, 2);
            if (full) {
                std::fill(weights.begin(), weights.end(), static_cast<std::uint8_t>(kMostWeight));
                std::fill(negative.begin(), negative.end(), std::uint8_t{0});
            }
            const auto lookup = table_of(weights, negative);
            const std::vector<float> ones(room, 1.0f);
            const std::vector<float> zeros(room, 0.0f);
            std::vector<float> upper(count + kSignSlack);
            std::vector<std::uint32_t> row(count + kSignSlack);
            const SignScan scan{blocks,
                                bytes,
                                count,
                                lookup.data(),
                                ones.data(),
                                zeros.data(),
                                zeros.data(),
                                1.0f,
                                0.0f,
                                0.0f,
                                -std::numeric_limits<float>::infinity()};
            CHECK_EQ(table.scan_signs(scan, {upper.data(), row.data()}), count);
            for (std::size_t i = 0; i < count; ++i) {
                unsigned sum = 0;
                for (std::size_t k = 0; k < 8 * bytes; ++k) {
                    const std::size_t at = i / 32 * 32 * bytes + k / 8 * 32 + i % 32;
                    if (((blocks[at] >> (k % 8)) & 1) != negative[k]) sum += weights[k];
                }
                CHECK_EQ(row[i], i);
                CHECK_EQ(upper[i], static_cast<float>(sum));
            }
        }
    }
}

TEST_LEVELS(sign_bounds_are_compared_and_reported_in_row_order) {
    Random random(7);
    constexpr std::size_t bytes = 13;
    constexpr std::size_t count = 77;
    const std::size_t room = round_up(count, kSignRows);
    const auto blocks = random_bytes(random, room * bytes);
    const auto lookup = table_of(random_bytes(random, 8 * bytes, kMostWeight + 1),
                                 random_bytes(random, 8 * bytes, 2));
    std::vector<float> scale(room);
    std::vector<float> bias(room);
    std::vector<float> error(room);
    for (std::size_t i = 0; i < room; ++i) {
        scale[i] = random.uniform_float();
        bias[i] = values::gaussian(random);
        error[i] = random.uniform_float();
    }
    bias[5] = std::nanf("");
    SignScan scan{blocks.data(),
                  bytes,
                  count,
                  lookup.data(),
                  scale.data(),
                  bias.data(),
                  error.data(),
                  0.01f,
                  -8.0f,
                  0.7f,
                  -std::numeric_limits<float>::infinity()};
    std::vector<float> all(count + kSignSlack);
    std::vector<std::uint32_t> rows(count + kSignSlack);
    CHECK_EQ(levels::portable().scan_signs(scan, {all.data(), rows.data()}), count);
    scan.threshold = all[11];
    std::vector<float> upper(count + kSignSlack);
    const std::size_t n = table.scan_signs(scan, {upper.data(), rows.data()});
    std::size_t at = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (all[i] < scan.threshold) continue;
        CHECK(at < n);
        CHECK_EQ(std::size_t{rows[at]}, i);
        CHECK_EQ(values::bits(upper[at]) | (i == 5 ? 0xffffffffu : 0),
                 values::bits(all[i]) | (i == 5 ? 0xffffffffu : 0));
        ++at;
    }
    CHECK_EQ(at, n);
    CHECK(n > 5 && n < count);
}
