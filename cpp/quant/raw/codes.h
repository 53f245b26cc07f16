// Byte codes of rows and the constants that make a scan over them provable.
//
// A row x is written as x = s * (c + r): c integers in one byte each, s a step, r what rounding left.
// Integer rows (int8, uint8) are their own codes with s = 1, r = 0, so the scan reads them in place.
// Per row the scan needs two floats, and per block of 256 rows the largest |c| and |r|; from these
// quant/raw/query.h derives the error margin. All row constants are in units where the largest norm is
// about 1 (`unit`, a power of two), so norms from 1e-38 to 1e38 neither overflow nor vanish.
// Memory: dim bytes (rounded up) + 4 bytes a row, 8 for l2. Cost: one pass over the rows.
// Source: own; docs/accuracy.md has the derivation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"
#include "base/view.h"

namespace nearfield {

/// Rows that share one pair of error constants, and one kernel call.
inline constexpr std::size_t kBlockRows = 256;

/// Bytes between code rows: whole tiles where rows are long, tight where they are short.
constexpr std::size_t code_stride(std::size_t dim) noexcept {
    return dim > 32 ? round_up(dim, 64) : round_up(dim, 4);
}
/// Bytes of a row that a scan reads (past the row's end, other rows or padding).
constexpr std::size_t code_depth(std::size_t dim) noexcept { return round_up(dim, 64); }

/// How the rows of one store are encoded; fixed for the life of the store.
struct CodeSpec {
    Metric metric;
    DType dtype;
    std::size_t dim;
    double unit;  // power of two

    /// What a byte of value zero stands for is -zero_point.
    int zero_point() const noexcept {
        return dtype == DType::kU8 && metric != Metric::kL2 ? 0 : 128;
    }
    /// uint8 under l2 is moved by 128 into the signed range; distances do not notice.
    double centre() const noexcept {
        return dtype == DType::kU8 && metric == Metric::kL2 ? 128.0 : 0.0;
    }
    bool rows_are_codes() const noexcept { return dtype == DType::kI8 || dtype == DType::kU8; }
};

/// Constants of the rows of one block.
struct BlockError {
    float code_norm = 0;  // max |c|, rounded up
    float residual = 0;   // max |r|, rounded up
};

/// Codes ready to scan. Row i: codes + i * stride.
struct CodeView {
    CodeSpec spec;
    const std::uint8_t* codes;
    std::size_t stride;
    std::size_t count;
    const float* scale;        // s * unit (ip, l2) or s / |x| (cosine)
    const float* bias;         // l2: -|x|^2 / 2 in units, rounded up; else null
    const BlockError* errors;  // one per kBlockRows
};

/// Asks for slice `part` of `parts` of the rows [first, first + kBlockRows) to be brought into L2.
inline void prefetch_slice(const CodeView& view, std::size_t first, std::size_t part,
                           std::size_t parts) noexcept {
    if (first >= view.count) return;
    const std::size_t rows = view.count - first < kBlockRows ? view.count - first : kBlockRows;
    const std::size_t bytes = rows * view.stride;
    const std::uint8_t* block = view.codes + first * view.stride;
    const std::size_t end = bytes * (part + 1) / parts;
    for (std::size_t at = bytes * part / parts; at < end; at += 64) {
        __builtin_prefetch(block + at, 0, 2);
    }
}

/// What encoding one row gives beside its codes.
struct RowConstants {
    float scale;
    float bias;
    BlockError error;
    double norm;  // |x|, in the user's units
};

/// Encodes one row of spec.dtype. `wide` is scratch of dim floats; code receives code_stride(dim)
/// bytes and may be null where rows_are_codes(). Returns false when the row is not finite.
bool encode_row(const CodeSpec& spec, const void* row, float* wide, std::uint8_t* code,
                RowConstants& out) noexcept;

/// The power of two that brings `norm` to about 1 (1 for zero).
double unit_for(double norm) noexcept;

}  // namespace nearfield
