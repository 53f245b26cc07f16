// The exact family: the same bits as the portable level, close to a long double sum, and not one byte
// read outside the two vectors.
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"
#include "kernels/values.h"

using nearfield::Random;
using nearfield::kernels::KernelTable;

namespace {

template <class T>
using Exact = double (*KernelTable::*)(const float*, const T*, std::size_t) noexcept;

template <class T>
using Folded = double (*KernelTable::*)(const float*, const float*, const T*, std::size_t) noexcept;

struct Naive {
    long double value = 0;
    long double magnitude = 0;  // sum of absolute terms: the scale of rounding
};

template <class T>
Naive naive_ip(const float* q, const T* x, std::size_t dim, float (*wide)(T)) {
    Naive sum;
    for (std::size_t k = 0; k < dim; ++k) {
        const long double term = static_cast<long double>(q[k]) * wide(x[k]);
        sum.value += term;
        sum.magnitude += std::fabs(term);
    }
    return sum;
}

template <class T>
Naive naive_l2(const float* q, const T* x, std::size_t dim, float (*wide)(T)) {
    Naive sum;
    for (std::size_t k = 0; k < dim; ++k) {
        const long double difference = static_cast<long double>(q[k]) - wide(x[k]);
        sum.value += difference * difference;
    }
    sum.magnitude = sum.value;
    return sum;
}

/// A query in two parts is what its parts are, bit for bit.
template <class T>
void check_folded(const KernelTable& table, Exact<T> ip, Folded<T> folded,
                  const std::function<T(Random&)>& draw) {
    guarded::Arena queries(values::kMostDim * sizeof(float));
    guarded::Arena lows(values::kMostDim * sizeof(float));
    guarded::Arena rows(values::kMostDim * sizeof(T));
    Random random(12);
    for (const std::size_t dim : values::dims()) {
        for (int round = 0; round < 4; ++round) {
            float* high = queries.at<float>(round % 2 == 0, dim);
            float* low = lows.at<float>(round % 2 == 1, dim);
            T* x = rows.at<T>(round < 2, dim);
            for (std::size_t k = 0; k < dim; ++k) {
                high[k] = values::gaussian(random);
                low[k] = 0x1p-25f * values::gaussian(random);
                x[k] = draw(random);
            }
            const double sum = (table.*ip)(high, x, dim) + (table.*ip)(low, x, dim);
            CHECK_EQ(values::bits((table.*folded)(high, low, x, dim)), values::bits(sum));
        }
    }
}

/// One pair of kernels of one element type on every dim, twice between guard pages.
template <class T>
void check_type(const KernelTable& table, Exact<T> ip, Exact<T> l2, float (*wide)(T),
                const std::function<T(Random&)>& draw) {
    guarded::Arena queries(values::kMostDim * sizeof(float));
    guarded::Arena rows(values::kMostDim * sizeof(T));
    Random random(11);
    for (const std::size_t dim : values::dims()) {
        for (int round = 0; round < 4; ++round) {
            float* q = queries.at<float>(round % 2 == 0, dim);
            T* x = rows.at<T>(round < 2, dim);
            for (std::size_t k = 0; k < dim; ++k) {
                q[k] = round == 3 ? values::any_finite(random) : values::gaussian(random);
                x[k] = draw(random);
            }
            // Rounding of each lane's sum, of the halving and of each squared difference.
            const long double share = std::ldexp(static_cast<long double>(dim) / 32 + 12, -53);
            const double got_ip = (table.*ip)(q, x, dim);
            const Naive want_ip = naive_ip(q, x, dim, wide);
            CHECK_EQ(values::bits(got_ip), values::bits((levels::portable().*ip)(q, x, dim)));
            CHECK(std::fabs(got_ip - want_ip.value) <= share * want_ip.magnitude);
            const double got_l2 = (table.*l2)(q, x, dim);
            const Naive want_l2 = naive_l2(q, x, dim, wide);
            CHECK_EQ(values::bits(got_l2), values::bits((levels::portable().*l2)(q, x, dim)));
            CHECK(std::fabs(got_l2 - want_l2.value) <= share * want_l2.magnitude);
        }
    }
}

float same(float x) { return x; }
float wide_u8(std::uint8_t x) { return x; }
float wide_i8(std::uint8_t x) { return static_cast<float>(x) - 128.0f; }

std::uint8_t any_byte(Random& random) {
    const std::uint64_t r = random.next();
    if (r % 8 == 0) return 0;
    if (r % 8 == 1) return 255;
    return static_cast<std::uint8_t>(r >> 8);
}

}  // namespace

TEST_LEVELS(float32) {
    const auto draw = [](Random& random) {
        return random.below(4) == 0 ? values::any_finite(random) : values::gaussian(random);
    };
    check_type<float>(table, &KernelTable::ip_f32, &KernelTable::l2_f32, same, draw);
    check_folded<float>(table, &KernelTable::ip_f32, &KernelTable::folded_ip_f32, draw);
}

TEST_LEVELS(float16) {
    const auto draw = [](Random& random) {
        auto h = static_cast<std::uint16_t>(random.next());
        return values::is_finite_f16(h) ? h : std::uint16_t{0x8001};
    };
    using T = std::uint16_t;
    check_type<T>(table, &KernelTable::ip_f16, &KernelTable::l2_f16, values::wide_f16, draw);
    check_folded<T>(table, &KernelTable::ip_f16, &KernelTable::folded_ip_f16, draw);
}

TEST_LEVELS(bfloat16) {
    const auto draw = [](Random& random) {
        auto b = static_cast<std::uint16_t>(random.next());
        return values::is_finite_bf16(b) ? b : std::uint16_t{0x8001};
    };
    using T = std::uint16_t;
    check_type<T>(table, &KernelTable::ip_bf16, &KernelTable::l2_bf16, values::wide_bf16, draw);
    check_folded<T>(table, &KernelTable::ip_bf16, &KernelTable::folded_ip_bf16, draw);
}

TEST_LEVELS(int8) {
    using T = std::uint8_t;
    check_type<T>(table, &KernelTable::ip_i8, &KernelTable::l2_i8, wide_i8, any_byte);
    check_folded<T>(table, &KernelTable::ip_i8, &KernelTable::folded_ip_i8, any_byte);
}

TEST_LEVELS(uint8) {
    using T = std::uint8_t;
    check_type<T>(table, &KernelTable::ip_u8, &KernelTable::l2_u8, wide_u8, any_byte);
    check_folded<T>(table, &KernelTable::ip_u8, &KernelTable::folded_ip_u8, any_byte);
}

TEST_LEVELS(packed_bits) {
    guarded::Arena left(600);
    guarded::Arena right(600);
    Random random(5);
    for (std::size_t bytes = 0; bytes <= 530; ++bytes) {
        auto* a = left.at<std::uint8_t>(bytes % 2 == 0, bytes);
        auto* b = right.at<std::uint8_t>(bytes % 3 != 0, bytes);
        std::uint32_t different = 0;
        std::uint32_t both = 0;
        for (std::size_t k = 0; k < bytes; ++k) {
            a[k] = any_byte(random);
            b[k] = any_byte(random);
            for (int bit = 0; bit < 8; ++bit) {
                different += static_cast<std::uint32_t>(((a[k] ^ b[k]) >> bit) & 1);
                both += static_cast<std::uint32_t>(((a[k] & b[k]) >> bit) & 1);
            }
        }
        CHECK_EQ(table.hamming_u1(a, b, bytes), different);
        CHECK_EQ(table.ip_u1(a, b, bytes), both);
    }
}
