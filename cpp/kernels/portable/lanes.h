// What generic/lanes.h and generic/lookup.h need of a register, one element at a time.
#pragma once

#include "kernels/portable/vec.h"

namespace nearfield::kernels {
namespace {

/// a * b + c rounded once, as the instruction does it. The product is exact in float64; the sum is
/// rounded to odd there, which makes its rounding to float32 the only one that counts.
/// Source: Boldo, Melquiond, "Emulation of FMA and correctly rounded sums", 2008.
inline float fused(float a, float b, float c) noexcept {
#if defined(__FP_FAST_FMAF)
    return __builtin_fmaf(a, b, c);
#else
    const double product = static_cast<double>(a) * static_cast<double>(b);
    const double addend = static_cast<double>(c);
    const double sum = product + addend;
    const double back = sum - product;
    const double lost = (product - (sum - back)) + (addend - back);
    std::int64_t bits;
    __builtin_memcpy(&bits, &sum, sizeof bits);
    const bool inexact = (lost < 0.0 || lost > 0.0) && (bits & 1) == 0;
    const bool outwards = (lost > 0.0) == (sum > 0.0);
    bits += inexact ? (outwards ? 1 : -1) : 0;
    double odd;
    __builtin_memcpy(&odd, &bits, sizeof odd);
    return static_cast<float>(odd);
#endif
}

struct Lane : F32 {
    using Index = std::uint32_t;
    using Mask = bool;
    static constexpr std::size_t kTileRows = 4;
    static constexpr std::size_t kTileGroups = 1;
    static constexpr std::size_t kProductRows = 1;
    static constexpr std::size_t kProductPanels = 1;
    static Reg add(Reg a, Reg b) noexcept { return a + b; }
    static Reg sub(Reg a, Reg b) noexcept { return a - b; }
    static Reg fmadd(Reg a, Reg b, Reg c) noexcept { return fused(a, b, c); }
    static Reg max(Reg a, Reg b) noexcept { return a > b ? a : b; }
    static Reg min(Reg a, Reg b) noexcept { return a < b ? a : b; }
    static Reg div(Reg a, Reg b) noexcept { return a / b; }
    /// x times two to the power in the lowest bits of a shifted number, see generic/exponential.h.
    static Reg times_power(Reg x, Reg shifted) noexcept {
        return float_from_bits(bits_from_float(x) + (bits_from_float(shifted) << 23));
    }
    static Reg select(Mask m, Reg yes, Reg no) noexcept { return m ? yes : no; }
    static Mask less(Reg a, Reg b) noexcept { return a < b; }
    static Index index(std::uint32_t i) noexcept { return i; }
    static Index select(Mask m, Index yes, Index no) noexcept { return m ? yes : no; }
    static void store_index(std::uint32_t* p, Index i) noexcept { *p = i; }
    /// Unsigned bytes or words as floats.
    static Reg load_byte(const std::uint8_t* p) noexcept { return static_cast<float>(*p); }
    /// Non-negative floats below 256, cut to whole numbers.
    static void store_byte(std::uint8_t* p, Reg x) noexcept { *p = static_cast<std::uint8_t>(x); }
    /// table[at + code] for consecutive codes and table offsets of one step each.
    template <class Code>
    static Reg look_up(const float* table, std::uint32_t step, const Code* code) noexcept {
        (void)step;
        return table[*code];
    }
};

}  // namespace
}  // namespace nearfield::kernels
