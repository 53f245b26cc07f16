// Codes of rows and the constants that make a scan over them provable. There are two kinds:
//
//   kBytes  one byte an element; integers, hence exact sums       quant/raw/bytes.cpp
//   kBF16   bfloat16, a bound four times tighter, twice the work  quant/raw/halves.cpp
//
// Either way a row x is written as x = s * (c + r): c the code, s a step, r what rounding left. Rows
// that are stored as their kind's codes (int8 and uint8; bfloat16 under kBF16) have s = 1, r = 0 and
// are scanned in place. quant/raw/calibrate.h chooses the kind.
// Per row the scan needs two or three floats, and per block of 256 rows the largest |c| and |r|; from
// these quant/raw/query.h derives the error margin. All row constants are in units where the largest
// norm is about 1 (`unit`, a power of two), so norms from 1e-38 to 1e38 neither overflow nor vanish.
// Memory a row: dim bytes or 2 dim (rounded up), none in place; 4 bytes, 4 more under kBF16, 4 more
// for l2. Cost: one pass over the rows.
// Source: own; docs/accuracy.md has the derivation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"
#include "base/view.h"
#include "kernels/table.h"

namespace nearfield {

/// What the scan multiplies.
enum class ScanKind : std::uint8_t { kBytes, kBF16 };

/// Rows that share one pair of error constants, and one kernel call.
inline constexpr std::size_t kBlockRows = kernels::kMaxPanelRows;

constexpr bool is_integer(DType dtype) noexcept {
    return dtype == DType::kI8 || dtype == DType::kU8;
}

/// How the rows of one store are encoded, until they are encoded anew.
struct CodeSpec {
    Metric metric;
    DType dtype;
    std::size_t dim;
    double unit;  // power of two
    ScanKind kind;
    /// Rows that would need a smaller scale (ip, l2) are coded in coarser steps.
    double least_scale = 0x1p-100;

    /// Folded queries (transform/folded_query.h): the largest length of a row in units, as scores count it; 0:
    /// queries are as they come. Scans leave a query's low part out, up to this times its length of a score.
    double reach = 0.0;
    bool is_folded() const noexcept { return reach > 0.0; }

    /// What a byte of value zero stands for is -zero_point.
    int zero_point() const noexcept {
        return dtype == DType::kU8 && metric != Metric::kL2 ? 0 : 128;
    }
    /// uint8 under l2 is moved by 128 into the signed range; distances do not notice.
    double centre() const noexcept {
        return dtype == DType::kU8 && metric == Metric::kL2 ? 128.0 : 0.0;
    }
    /// The scan reads the rows themselves.
    bool rows_are_codes() const noexcept {
        return is_integer(dtype) || (dtype == DType::kBF16 && kind == ScanKind::kBF16);
    }
    /// Bytes of one row's codes.
    std::size_t code_bytes() const noexcept { return kind == ScanKind::kBF16 ? 2 * dim : dim; }
};

/// Bytes between code rows: whole tiles where rows are long or bfloat16 (what follows a row could be
/// read as NaN), tight where byte rows are short.
inline std::size_t code_stride(const CodeSpec& spec) noexcept {
    const bool tight = spec.kind == ScanKind::kBytes && spec.dim <= 32;
    return round_up(spec.code_bytes(), tight ? 4 : 64);
}
/// Bytes of a row that a scan reads (past a tight row's end, other rows or padding).
inline std::size_t code_depth(const CodeSpec& spec) noexcept {
    return round_up(spec.code_bytes(), 64);
}

/// Constants of the rows of one block: max |c| and max |r| under kBytes. Under kBF16, where the spread
/// of a row carries its length, 1 and the largest |r| as a share of that length. Rounded up.
struct BlockError {
    float code_norm = 0;
    float residual = 0;
};

/// Codes ready to scan. Row i: codes + i * stride.
struct CodeView {
    CodeSpec spec;
    const std::uint8_t* codes;
    std::size_t stride;
    std::size_t count;
    const float* scale;   // s * unit (ip, l2) or s / |x| (cosine)
    const float* spread;  // what a lane's margin is multiplied by: scale, or scale * length (kBF16)
    const float* bias;    // l2: -|x|^2 / 2 in units, rounded up; else null
    const BlockError* errors;  // one per kBlockRows

    /// Error constants that hold for the rows [first, last).
    BlockError error_of(std::size_t first, std::size_t last) const noexcept {
        BlockError error = errors[first / kBlockRows];
        for (std::size_t b = first / kBlockRows + 1; b <= (last - 1) / kBlockRows; ++b) {
            if (errors[b].code_norm > error.code_norm) error.code_norm = errors[b].code_norm;
            if (errors[b].residual > error.residual) error.residual = errors[b].residual;
        }
        return error;
    }
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
    float spread;
    float bias;
    BlockError error;
    double norm;  // |x|, in the user's units
};

/// Encodes one row of spec.dtype. `wide` is scratch of dim floats; code receives code_stride(spec)
/// bytes and may be null where rows_are_codes(). Returns false when the row is not finite.
bool encode_row(const CodeSpec& spec, const void* row, float* wide, std::uint8_t* code,
                RowConstants& out) noexcept;

/// Whether kBF16 may scan a bfloat16 row of this norm in place: float32 sums then neither overflow
/// nor lose to underflow what the margin does not cover.
bool fits_in_place(double norm) noexcept;

/// The power of two that brings `norm` to about 1 (1 for zero).
double unit_for(double norm) noexcept;

}  // namespace nearfield
