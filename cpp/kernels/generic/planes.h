// Bit planes in plain C++: eight bytes at a time are a transposed 8 x 8 bit matrix. And the end of every
// scan over sign bits: one bound a row, compared with the threshold. Source: own.
#pragma once

#include "kernels/rotated.h"

namespace nearfield::kernels {
namespace {

/// Elements from first on; planes are n / 8 bytes apart.
inline void pack_planes_from(const std::uint8_t* code, std::size_t first, std::size_t n,
                             std::size_t bits, std::uint8_t* planes) noexcept {
    for (std::size_t g = first / 8; g < n / 8; ++g) {
        for (std::size_t b = 0; b < bits; ++b) {
            std::uint32_t byte = 0;
            for (std::size_t j = 0; j < 8; ++j) {
                byte |= ((static_cast<std::uint32_t>(code[8 * g + j]) >> (bits - 1 - b)) & 1u) << j;
            }
            planes[b * (n / 8) + g] = static_cast<std::uint8_t>(byte);
        }
    }
}

inline void unpack_planes_from(const std::uint8_t* planes, std::size_t first, std::size_t n,
                               std::size_t bits, std::uint8_t* code) noexcept {
    for (std::size_t g = first / 8; g < n / 8; ++g) {
        for (std::size_t j = 0; j < 8; ++j) {
            std::uint32_t value = 0;
            for (std::size_t b = 0; b < bits; ++b) {
                value =
                    2 * value + ((static_cast<std::uint32_t>(planes[b * (n / 8) + g]) >> j) & 1u);
            }
            code[8 * g + j] = static_cast<std::uint8_t>(value);
        }
    }
}

/// Reports one row unless its bound is below the threshold; NaN is reported. Returns the hits so far.
inline std::size_t report_row(const SignScan& a, std::size_t row, std::uint32_t sum,
                              const SignHits& hits, std::size_t n) noexcept {
    const float inner = a.step * static_cast<float>(sum) + a.offset;
    const float upper = (a.scale[row] * inner + a.bias[row]) + a.error[row] * a.margin;
    hits.upper[n] = upper;
    hits.row[n] = static_cast<std::uint32_t>(row);
    return n + static_cast<std::size_t>(!(upper < a.threshold));
}

}  // namespace
}  // namespace nearfield::kernels
