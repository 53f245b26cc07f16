// Element types of stored rows as distinct C++ types, and their scalar conversions.
// Everything here has internal linkage: each ISA folder compiles its own copy.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nearfield::kernels {
namespace {

struct F16 {
    std::uint16_t bits;
};
struct BF16 {
    std::uint16_t bits;
};
/// int8 stored as value + 128, so that scans read it as an unsigned byte; the default is zero.
struct I8 {
    std::uint8_t bits = 128;
};

inline float float_from_bits(std::uint32_t bits) noexcept {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

inline std::uint32_t bits_from_float(float value) noexcept {
    std::uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float to_float(float x) noexcept { return x; }
inline float to_float(I8 x) noexcept { return static_cast<float>(x.bits) - 128.0f; }
inline float to_float(std::uint8_t x) noexcept { return static_cast<float>(x); }
inline float to_float(BF16 x) noexcept {
    return float_from_bits(static_cast<std::uint32_t>(x.bits) << 16);
}
inline float to_float(F16 x) noexcept {
    const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
    const std::uint32_t magnitude = x.bits & 0x7fffu;
    if (magnitude >=
        0x7c00u) {  // infinity, and NaN with its payload, quiet as the instruction makes it
        const std::uint32_t quiet = magnitude > 0x7c00u ? 0x400000u : 0u;
        return float_from_bits(sign | 0x7f800000u | quiet | ((magnitude & 0x3ffu) << 13));
    }
    // 2^112 rebiases the exponent and turns half subnormals into normal floats exactly.
    const float scaled = float_from_bits(magnitude << 13) * 0x1p112f;
    return float_from_bits(sign | bits_from_float(scaled));
}

inline std::uint16_t bf16_bits(float value) noexcept {
    const std::uint32_t bits = bits_from_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return static_cast<std::uint16_t>((bits >> 16) | 0x40u);  // quiet NaN
    }
    return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline std::uint16_t f16_bits(float value) noexcept {
    const std::uint32_t bits = bits_from_float(value);
    const std::uint32_t sign = (bits >> 16) & 0x8000u;
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return static_cast<std::uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    }
    if (magnitude >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        // Half subnormal: adding 0.5 leaves the value, rounded to nearest even in units of 2^-24, in
        // the low mantissa bits.
        const float shifted = float_from_bits(magnitude) + 0.5f;
        return static_cast<std::uint16_t>(sign | (bits_from_float(shifted) - 0x3f000000u));
    }
    const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u;
    return static_cast<std::uint16_t>(sign | (rounded >> 13));
}

}  // namespace
}  // namespace nearfield::kernels
