// What differs between the two kinds of codes: how a row and how a query is rounded.
// codes.cpp and query.cpp choose between bytes.cpp and halves.cpp by CodeSpec::kind.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "quant/raw/codes.h"

namespace nearfield {

/// Slightly more than the rounding of everything done in float64 here.
inline constexpr double kUp = 1.0 + 1e-6;
/// Float64 keys round as well: a share of |q| |x| far above what they can lose.
inline constexpr double kKeyShare = 1e-9;

inline float round_up_to_float(double x) noexcept {
    const float f = static_cast<float>(x);
    return static_cast<double>(f) < x ? std::nextafterf(f, std::numeric_limits<float>::infinity())
                                      : f;
}

/// CodeSpec::reach of folded queries.
inline double reach_of(double longest) noexcept {
    return longest * kUp + std::numeric_limits<double>::min();
}

/// What rounding one query gives beside its codes: q = step * (p + d). The margin of a pair is
/// code_error * BlockError::code_norm + norm * BlockError::residual, times the row's spread.
struct QueryConstants {
    double step = 1.0;
    float code_error = 0.0f;      // |d| and what else grows with |c|, rounded up
    float norm = 0.0f;            // |p + d|, rounded up
    std::int32_t zero_share = 0;  // what the zero point of byte rows adds to every sum, negated
};

/// See encode_row.
bool encode_bytes(const CodeSpec& spec, const void* row, float* wide, std::uint8_t* code,
                  RowConstants& out) noexcept;
bool encode_halves(const CodeSpec& spec, const void* row, float* wide, std::uint8_t* code,
                   RowConstants& out) noexcept;

/// Rounds a query of spec.dim values and this norm, in units and centred, to codes; bytes past the
/// last element stay as they are.
QueryConstants quantise_bytes(const CodeSpec& spec, const double* q, double norm,
                              std::int8_t* code) noexcept;
/// The same from the query as it is, several times faster. False, and nothing done, for what this does
/// not cover: integer rows, queries of extreme size, other kinds.
bool quantise_plain_bytes(const CodeSpec& spec, const float* query, double norm, std::int8_t* code,
                          QueryConstants& out) noexcept;
QueryConstants quantise_halves(const CodeSpec& spec, const double* q, double norm,
                               std::int8_t* code) noexcept;

/// Fills scale and bias of a row; norm is that of what the codes stand for.
void set_scale(const CodeSpec& spec, double step, double norm, RowConstants& out) noexcept;

}  // namespace nearfield
