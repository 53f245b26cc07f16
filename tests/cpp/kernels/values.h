// What the kernel tests draw and compare: bit patterns, gaussians, naive conversions.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/random.h"

namespace values {

inline std::uint32_t bits(float x) {
    std::uint32_t b;
    std::memcpy(&b, &x, sizeof b);
    return b;
}
inline std::uint64_t bits(double x) {
    std::uint64_t b;
    std::memcpy(&b, &x, sizeof b);
    return b;
}
inline float from_bits(std::uint32_t b) {
    float x;
    std::memcpy(&x, &b, sizeof x);
    return x;
}

/// Any finite float32, subnormals and both zeros included.
inline float any_finite(nearfield::Random& random) {
    for (;;) {
        const float x = from_bits(static_cast<std::uint32_t>(random.next()));
        if (std::isfinite(x)) return x;
    }
}

/// About normal, mean 0, deviation 1.
inline float gaussian(nearfield::Random& random) {
    float sum = -6.0f;
    for (int i = 0; i < 12; ++i) sum += random.uniform_float();
    return sum;
}

/// Half precision by its definition.
inline float wide_f16(std::uint16_t h) {
    const int exponent = (h >> 10) & 31;
    const int mantissa = h & 0x3ff;
    const float sign = (h & 0x8000) != 0 ? -1.0f : 1.0f;
    if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
    return sign * std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
}
inline float wide_bf16(std::uint16_t b) { return from_bits(static_cast<std::uint32_t>(b) << 16); }

inline bool is_finite_f16(std::uint16_t h) { return (h & 0x7c00) != 0x7c00; }
inline bool is_finite_bf16(std::uint16_t b) { return (b & 0x7f80) != 0x7f80; }

/// Dims that meet every register width, tile and tail.
inline std::vector<std::size_t> dims() {
    std::vector<std::size_t> all;
    for (std::size_t d = 1; d <= 256; ++d) all.push_back(d);
    for (const std::size_t d : {384U, 512U, 768U, 1024U, 1536U, 4096U}) {
        all.insert(all.end(), {d - 1, d, d + 1});
    }
    return all;
}
inline constexpr std::size_t kMostDim = 4097;

}  // namespace values
