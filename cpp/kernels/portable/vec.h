// One-element "registers": the generic code as plain C++, correct on any CPU.
#pragma once

#include "kernels/generic/element.h"

namespace nearfield::kernels {
namespace {

struct F64 {
    using Reg = double;
    static constexpr std::size_t kWidth = 1;
    static Reg zero() noexcept { return 0.0; }
    static Reg set1(double x) noexcept { return x; }
    static Reg load(const double* p) noexcept { return *p; }
    template <class T>
    static Reg load(const T* p) noexcept {
        return static_cast<double>(to_float(*p));
    }
    static void store(double* p, Reg x) noexcept { *p = x; }
    static void store(float* p, Reg x) noexcept { *p = static_cast<float>(x); }
    static Reg add(Reg a, Reg b) noexcept { return a + b; }
    static Reg sub(Reg a, Reg b) noexcept { return a - b; }
    static Reg mul(Reg a, Reg b) noexcept { return a * b; }
    static Reg add_exact_product(Reg acc, Reg a, Reg b) noexcept { return acc + a * b; }
};

struct F32 {
    using Reg = float;
    static constexpr std::size_t kWidth = 1;
    static Reg zero() noexcept { return 0.0f; }
    static Reg set1(float x) noexcept { return x; }
    template <class T>
    static Reg load(const T* p) noexcept {
        return to_float(*p);
    }
    static void store(float* p, Reg x) noexcept { *p = x; }
    static void store(F16* p, Reg x) noexcept { p->bits = f16_bits(x); }
    static void store(BF16* p, Reg x) noexcept { p->bits = bf16_bits(x); }
    static Reg load_first(const float* p, std::size_t) noexcept { return *p; }
    static Reg add(Reg a, Reg b) noexcept { return a + b; }
    static Reg sub(Reg a, Reg b) noexcept { return a - b; }
    static float sum(Reg x) noexcept { return x; }
    static Reg mul(Reg a, Reg b) noexcept { return a * b; }
    static Reg madd(Reg acc, Reg a, Reg b) noexcept { return acc + a * b; }
    static Reg max(Reg a, Reg b) noexcept { return a > b ? a : b; }
    static Reg min(Reg a, Reg b) noexcept { return a < b ? a : b; }
    static Reg select_above(Reg a, Reg b, Reg yes, Reg no) noexcept { return a > b ? yes : no; }
    static Reg clamp(Reg x, Reg low, Reg high) noexcept {
        const Reg raised = x > low ? x : low;
        return raised < high ? raised : high;
    }
    static Reg hadamard(Reg x) noexcept { return x; }
    static void store_bytes(std::uint8_t* p, Reg x) noexcept {
        *p = static_cast<std::uint8_t>(static_cast<std::int32_t>(x));
    }
    static Reg max_abs(Reg best, Reg x) noexcept {
        const std::uint32_t magnitude = bits_from_float(x) & 0x7fffffffu;
        return magnitude > bits_from_float(best) ? float_from_bits(magnitude) : best;
    }
    static void store_codes(std::uint8_t* p, Reg x) noexcept {
        // 1.5 * 2^23 forces round to nearest even into the low mantissa bits.
        const float clamped = x < -127.0f ? -127.0f : (x > 127.0f ? 127.0f : x);
        const std::uint32_t bits = bits_from_float(clamped + 12582912.0f);
        *p = static_cast<std::uint8_t>(bits - 0x4b400000u + 128u);
    }
};

}  // namespace
}  // namespace nearfield::kernels
