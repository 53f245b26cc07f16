// bfloat16 codes: c = bfloat16(x / s), s the power of two that brings |x| to [1, 2), so that sums in
// float32 neither overflow nor vanish. bfloat16 rows are their own codes, s = 1.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "quant/raw/exact.h"
#include "quant/raw/kinds.h"

namespace nearfield {
namespace {

/// Norms that fits_in_place accepts lie between this and its reciprocal.
constexpr double kLargestInPlace = 0x1p64;
/// Hardware may flush denormals, of inputs and of sums: at most 2 dim + 64 of 2^-126 each, times elements
/// of p whose length is at most 2, so less than 2^-108 a sum; 2^-44 of the shortest row, in place or not.
constexpr double kFlushed = 0x1p-44;
/// Lengths of code rows below this count as this.
constexpr double kShortest = 0x1p-60;
/// What a float32 value y below the normal range may have lost, over a whole row.
constexpr double kDenormal = 0x1p-140;

/// Nearest bfloat16, ties to even, of a finite value far from overflow.
std::uint16_t to_bfloat16(float x) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float from_bfloat16(std::uint16_t x) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16);
}

/// What a float32 sum of products may be off by, as a share of |p| |c|: for any order, any grouping
/// into tiles and any rounding mode, gamma_n for n roundings of 2^-23 each.
double accumulation_share(const CodeSpec& spec) noexcept {
    const auto roundings = static_cast<double>(code_depth(spec) / 2 + 32);
    return roundings * 0x1p-23 / (1.0 - roundings * 0x1p-23);
}

}  // namespace

bool fits_in_place(double norm) noexcept {
    return norm == 0.0 || (norm <= kLargestInPlace && norm >= 1.0 / kLargestInPlace);
}

bool encode_halves(const CodeSpec& spec, const void* row, float* wide, std::uint8_t* code,
                   RowConstants& out) noexcept {
    widen(spec.dtype, row, wide, spec.dim);
    if (!all_finite(wide, spec.dim)) return false;
    out.norm = norm_of(wide, spec.dim);
    double step = 1.0;
    double residual = 0.0;
    double length = out.norm;
    if (!spec.rows_are_codes()) {
        step = 1.0 / (out.norm > 0.0 ? unit_for(out.norm) : spec.unit);
        // A smaller one would be a scale outside float32.
        if (spec.metric != Metric::kCosine) step = std::max(step, spec.least_scale / spec.unit);
        const double inverse = 1.0 / step;
        std::memset(code, 0, code_stride(spec));
        for (std::size_t k = 0; k < spec.dim; ++k) {
            const auto y = static_cast<float>(static_cast<double>(wide[k]) * inverse);
            const std::uint16_t half = to_bfloat16(y);
            std::memcpy(code + 2 * k, &half, sizeof half);
            wide[k] = y - from_bfloat16(half);  // exact
        }
        residual = norm_of(wide, spec.dim) + kDenormal;
        length = std::max(out.norm / step + residual, kShortest);
    }
    const double share = length > 0.0 ? residual / length : 0.0;
    out.error = {1.0f, round_up_to_float(share * kUp)};
    set_scale(spec, step, out.norm, out);
    // The floor keeps the products of the epilogue in float32's range.
    out.spread =
        round_up_to_float(std::max(static_cast<double>(out.scale) * length * kUp, 0x1p-100));
    return true;
}

QueryConstants quantise_halves(const CodeSpec& spec, const double* q, double norm,
                               std::int8_t* code) noexcept {
    QueryConstants out;
    out.step = 1.0 / unit_for(norm);
    // Tiny queries must not make 1 / step overflow under l2.
    if (spec.metric == Metric::kL2) out.step = std::max(out.step, 0x1p-40);

    double error = 0.0;
    for (std::size_t k = 0; k < spec.dim; ++k) {
        const double scaled = q[k] / out.step;
        const std::uint16_t half = to_bfloat16(static_cast<float>(scaled));
        std::memcpy(code + 2 * k, &half, sizeof half);
        const double lost = scaled - static_cast<double>(from_bfloat16(half));
        error += lost * lost;
    }
    const double d = std::sqrt(error);
    const double length = norm / out.step;
    const double code_error =
        d + accumulation_share(spec) * (length + d) + kKeyShare * length + kFlushed;
    out.code_error = static_cast<float>(code_error * kUp);
    out.norm = static_cast<float>(length * kUp);
    return out;
}

}  // namespace nearfield
