// Conversions between float32 and the two 16-bit formats: every pattern one way, every rounding case the
// other way, every length of tail, and the same bits on every level.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"
#include "kernels/values.h"

using nearfield::Random;
using nearfield::kernels::KernelTable;

namespace {

std::string hex(std::uint32_t x) {
    char text[16];
    std::snprintf(text, sizeof text, "%08x", x);
    return text;
}

/// float32 to half by arithmetic: the nearest multiple of the target's spacing, ties to even.
std::uint16_t narrow_f16(float x) {
    const std::uint32_t raw = values::bits(x);
    const auto sign = static_cast<std::uint16_t>((raw >> 16) & 0x8000u);
    if (std::isnan(x)) {  // quiet, upper payload bits kept
        return static_cast<std::uint16_t>(sign | 0x7e00u | ((raw >> 13) & 0x1ffu));
    }
    const double size = std::fabs(static_cast<double>(x));
    if (size == 0.0) return sign;
    if (size >= 65520.0) return static_cast<std::uint16_t>(sign | 0x7c00u);
    const int exponent = std::max(std::ilogb(size), -14);
    const double units = std::nearbyint(std::ldexp(size, 10 - exponent));
    // Units of 2^-24 count patterns below 2^-14; above, 1024 patterns an octave.
    const int pattern = static_cast<int>(units) + (exponent + 14) * 1024;
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(pattern));
}

std::uint16_t narrow_bf16(float x) {
    const std::uint32_t raw = values::bits(x);
    if (std::isnan(x)) return static_cast<std::uint16_t>((raw >> 16) | 0x40u);
    const std::uint32_t low = raw & 0xffffu;
    const std::uint32_t kept = raw >> 16;
    const bool up = low > 0x8000u || (low == 0x8000u && (kept & 1u) != 0);
    return static_cast<std::uint16_t>(kept + (up ? 1u : 0u));
}

using Widen = void (*KernelTable::*)(const std::uint16_t*, float*, std::size_t) noexcept;
using Narrow = void (*KernelTable::*)(const float*, std::uint16_t*, std::size_t) noexcept;

/// Every pattern; NaN must stay a NaN of the same sign and the same bits as on the portable level.
void check_widen(const KernelTable& table, Widen widen, float (*naive)(std::uint16_t),
                 bool (*is_finite)(std::uint16_t)) {
    std::vector<std::uint16_t> in(65536);
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::uint16_t>(i);
    std::vector<float> out(in.size());
    std::vector<float> reference(in.size());
    (table.*widen)(in.data(), out.data(), in.size());
    (levels::portable().*widen)(in.data(), reference.data(), in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
        const std::uint32_t got = values::bits(out[i]);
        if (got != values::bits(reference[i])) {
            check::fail(__FILE__, __LINE__,
                        hex(in[i]) + " widens to " + hex(got) + ", on the portable level to " +
                            hex(values::bits(reference[i])));
        }
        if (is_finite(in[i])) {
            CHECK_EQ(got, values::bits(naive(in[i])));
        } else {
            CHECK_EQ(std::signbit(out[i]), (in[i] & 0x8000) != 0);
            CHECK(!std::isfinite(out[i]));
        }
    }
}

void check_narrow(const KernelTable& table, Narrow narrow, std::uint16_t (*naive)(float),
                  const std::vector<float>& in) {
    std::vector<std::uint16_t> out(in.size());
    (table.*narrow)(in.data(), out.data(), in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
        if (out[i] != naive(in[i])) {
            check::fail(__FILE__, __LINE__,
                        hex(values::bits(in[i])) + " narrows to " + hex(out[i]) + ", expected " +
                            hex(naive(in[i])));
        }
    }
}

/// What lies between neighbouring values of a 16-bit format, and both sides of it; `beyond` is the least
/// magnitude that rounds to infinity.
std::vector<float> ties(float (*wide)(std::uint16_t), std::uint16_t infinity, float beyond) {
    std::vector<float> all;
    for (std::uint16_t b = 0; b < infinity; ++b) {
        const auto next = static_cast<std::uint16_t>(b + 1);
        const double middle = (static_cast<double>(wide(b)) + wide(next)) / 2.0;
        const float tie = next == infinity ? beyond : static_cast<float>(middle);
        for (const float x : {wide(b), tie, std::nextafterf(tie, 0.0f),
                              std::nextafterf(tie, std::numeric_limits<float>::max())}) {
            all.push_back(x);
            all.push_back(-x);
        }
    }
    return all;
}

std::vector<float> patterns() {
    Random random(3);
    std::vector<float> all;
    const float infinity = std::numeric_limits<float>::infinity();
    for (const float x : {infinity, std::numeric_limits<float>::max(), 0.0f, 0x1p-149f, 0x1p-126f,
                          65504.0f, 65519.996f, 65520.0f, 65536.0f, 0x1p-25f, 0x1.8p-25f}) {
        all.push_back(x);
        all.push_back(-x);
    }
    for (std::uint32_t payload = 1; payload < 0x800000u; payload += 1021) {
        all.push_back(values::from_bits(0x7f800000u | payload));
        all.push_back(values::from_bits(0xff800000u | payload));
    }
    for (int i = 0; i < 400'000; ++i) {
        all.push_back(values::from_bits(static_cast<std::uint32_t>(random.next())));
    }
    for (int i = 0; i < 200'000; ++i) {  // the octaves where half lives
        const auto r = static_cast<std::uint32_t>(random.next());
        all.push_back(values::from_bits((r & 0x807fffffu) | ((100 + (r >> 8) % 48) << 23)));
    }
    return all;
}

/// Tails of every length, nothing read or written outside.
template <class In, class Out>
void check_tails(void (*kernel)(const In*, Out*, std::size_t) noexcept) {
    guarded::Arena input(256 * sizeof(In));
    guarded::Arena output(256 * sizeof(Out));
    for (std::size_t n = 0; n <= 200; ++n) {
        for (const bool at_back : {true, false}) {
            In* in = input.at<In>(at_back, n);
            Out* out = output.at<Out>(at_back, n);
            for (std::size_t k = 0; k < n; ++k) in[k] = static_cast<In>(k + 1);
            std::vector<Out> expected(n);
            for (std::size_t k = 0; k < n; ++k) kernel(in + k, expected.data() + k, 1);
            kernel(in, out, n);
            for (std::size_t k = 0; k < n; ++k) CHECK(out[k] == expected[k]);
        }
    }
}

}  // namespace

TEST_LEVELS(float16_to_float32) {
    check_widen(table, &KernelTable::f32_from_f16, values::wide_f16, values::is_finite_f16);
}

TEST_LEVELS(bfloat16_to_float32) {
    check_widen(table, &KernelTable::f32_from_bf16, values::wide_bf16, values::is_finite_bf16);
}

TEST_LEVELS(float32_to_float16) {
    check_narrow(table, &KernelTable::f16_from_f32, narrow_f16, patterns());
    check_narrow(table, &KernelTable::f16_from_f32, narrow_f16,
                 ties(values::wide_f16, 0x7c00, 65520.0f));
}

TEST_LEVELS(float32_to_bfloat16) {
    check_narrow(table, &KernelTable::bf16_from_f32, narrow_bf16, patterns());
    check_narrow(table, &KernelTable::bf16_from_f32, narrow_bf16,
                 ties(values::wide_bf16, 0x7f80, values::from_bits(0x7f7f8000u)));
}

TEST_LEVELS(tails) {
    check_tails(table.f32_from_f16);
    check_tails(table.f32_from_bf16);
    check_tails(table.f16_from_f32);
    check_tails(table.bf16_from_f32);
}
