// Rows in a byte an element against each other: what is coded alike is compared without being decoded.
//
// A row is about scale * (code - 128), each element off by at most half a scale. Products are of whole
// numbers: the same on every level.
// Cost: a pass over the rows' codes. Source: own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"

namespace nearfield {

/// What a coded row needs beside its code; v stands for code - 128.
struct ByteTerms {
    float scale = 0.0f;
    std::int32_t sum = 0;     // of v
    std::int32_t square = 0;  // <v, v>
};

/// Codes dim floats, dim <= 65536: bytes from 1 to 255, and 128 from there to `stride`. Rows whose largest
/// element is below 2^-100 are rows of zeros, and so are those that are not finite.
ByteTerms encode_row(const float* x, std::size_t dim, std::size_t stride,
                     std::uint8_t* code) noexcept;

/// out[i] = <v of row `from`, v of row to[i]>. `codes` are rows of `stride` bytes, a multiple of 64 up to
/// 65536; from_sum: of row `from`.
void byte_products(const std::uint8_t* codes, std::size_t stride, std::size_t from,
                   std::int32_t from_sum, const Id* to, std::size_t n, std::int32_t* out) noexcept;

}  // namespace nearfield
