// Codes of quantizers: scalar codes and their scores, tables of a query and their sums.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "base/types.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"
#include "kernels/values.h"

using nearfield::Random;
using nearfield::round_up;

namespace {

constexpr std::size_t kCounts[] = {1, 2, 31, 32, 33, 63, 64, 65, 100, 384};

/// Element k to lane k mod 32, lanes pairwise.
float canonical(const std::vector<float>& terms) {
    float lanes[32] = {};
    for (std::size_t k = 0; k < terms.size(); ++k) lanes[k % 32] += terms[k];
    for (std::size_t half = 16; half != 0; half /= 2) {
        for (std::size_t j = 0; j < half; ++j) lanes[j] += lanes[j + half];
    }
    return lanes[0];
}

std::vector<float> padded(Random& random, std::size_t n) {
    std::vector<float> x(round_up(n, 32), 0.0f);
    for (std::size_t k = 0; k < n; ++k) x[k] = values::gaussian(random);
    return x;
}

}  // namespace

TEST_LEVELS(scalar_scores_by_definition) {
    Random random(1);
    for (const std::size_t dim : kCounts) {
        const auto q = padded(random, dim);
        const auto base = padded(random, dim);
        const auto step = padded(random, dim);
        const std::size_t count = 3;
        guarded::Arena memory(count * dim);
        auto* codes = memory.back<std::uint8_t>(count * dim);
        for (std::size_t i = 0; i < count * dim; ++i)
            codes[i] = static_cast<std::uint8_t>(random.next());
        float ip[count];
        float l2[count];
        const nearfield::kernels::ScalarArgs args{q.data(), base.data(), step.data(),
                                                  dim,      codes,       count};
        table.scalar_ip(args, ip);
        table.scalar_l2(args, l2);
        for (std::size_t i = 0; i < count; ++i) {
            std::vector<float> products;
            std::vector<float> squares;
            for (std::size_t k = 0; k < dim; ++k) {
                const float x = step[k] * static_cast<float>(codes[i * dim + k]) + base[k];
                products.push_back(q[k] * x);
                squares.push_back((q[k] - x) * (q[k] - x));
            }
            CHECK_EQ(values::bits(ip[i]), values::bits(canonical(products)));
            CHECK_EQ(values::bits(l2[i]), values::bits(-canonical(squares)));
        }
    }
}

TEST_LEVELS(scalar_codes_by_definition) {
    Random random(2);
    for (const std::size_t n : kCounts) {
        guarded::Arena memory(n * sizeof(float));
        guarded::Arena output(n);
        auto* x = memory.back<float>(n);
        auto* code = output.back<std::uint8_t>(n);
        const auto low = padded(random, n);
        auto inverse = padded(random, n);
        for (float& value : inverse) value = std::fabs(value) * 40.0f;
        inverse[n / 2] = 0.0f;
        for (std::size_t k = 0; k < n; ++k) x[k] = values::gaussian(random) * 3.0f;
        x[n - 1] = 3e38f;
        for (const float most : {255.0f, 15.0f}) {
            table.scalar_codes(x, low.data(), inverse.data(), most, n, code);
            for (std::size_t k = 0; k < n; ++k) {
                const float cell = (x[k] - low[k]) * inverse[k];
                CHECK_EQ(int{code[k]}, static_cast<int>(std::fmin(std::fmax(cell, 0.0f), most)));
            }
        }
    }
}

TEST_LEVELS(tables_by_definition) {
    Random random(3);
    for (const std::size_t dim : {1U, 2U, 3U, 8U, 24U}) {
        for (const std::size_t k : {16U, 64U, 256U}) {
            const auto q = padded(random, dim);
            const auto books = padded(random, dim * k);
            std::vector<float> ip(k);
            std::vector<float> l2(k);
            table.table_ip(q.data(), dim, books.data(), k, ip.data());
            table.table_l2(q.data(), dim, books.data(), k, l2.data());
            for (std::size_t c = 0; c < k; ++c) {
                float product = 0.0f;
                float square = 0.0f;
                for (std::size_t d = 0; d < dim; ++d) {
                    const float difference = q[d] - books[d * k + c];
                    product = std::fma(q[d], books[d * k + c], product);
                    square = std::fma(difference, difference, square);
                }
                CHECK_EQ(values::bits(ip[c]), values::bits(product));
                CHECK_EQ(values::bits(l2[c]), values::bits(0.0f - square));
            }
        }
    }
}

TEST_LEVELS(table_sums_by_definition) {
    Random random(4);
    for (const std::size_t m : kCounts) {
        for (const std::size_t k : {16U, 256U, 4096U}) {
            std::vector<float> tables(round_up(m, 32) * k, 0.0f);
            for (std::size_t i = 0; i < m * k; ++i) tables[i] = values::gaussian(random);
            const std::size_t count = 3;
            guarded::Arena memory(count * m * 2);
            guarded::Arena small(count * m);
            auto* words = memory.back<std::uint16_t>(count * m);
            auto* bytes = small.back<std::uint8_t>(count * m);
            for (std::size_t i = 0; i < count * m; ++i) {
                words[i] = static_cast<std::uint16_t>(random.below(k));
                bytes[i] = static_cast<std::uint8_t>(words[i]);
            }
            float from_words[count];
            float from_bytes[count];
            table.table_sums_u16(tables.data(), k, words, m, count, from_words);
            if (k <= 256) table.table_sums_u8(tables.data(), k, bytes, m, count, from_bytes);
            for (std::size_t i = 0; i < count; ++i) {
                std::vector<float> terms;
                for (std::size_t j = 0; j < m; ++j)
                    terms.push_back(tables[j * k + words[i * m + j]]);
                CHECK_EQ(values::bits(from_words[i]), values::bits(canonical(terms)));
                if (k <= 256) CHECK_EQ(values::bits(from_bytes[i]), values::bits(canonical(terms)));
            }
        }
    }
}
