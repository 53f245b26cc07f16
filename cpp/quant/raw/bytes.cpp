// Byte codes: c integers in [-127, 127], s = max|x| / 127; integer rows are their own codes.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/resolve.h"
#include "quant/raw/exact.h"
#include "quant/raw/kinds.h"

namespace nearfield {
namespace {

/// |c|^2 of a code row; integers, hence exact.
double code_norm_squared(const std::uint8_t* code, std::size_t dim, int zero_point) noexcept {
    std::int64_t total = 0;
    for (std::size_t k = 0; k < dim; ++k) {
        const int c = static_cast<int>(code[k]) - zero_point;
        total += c * c;
    }
    return static_cast<double>(total);
}

/// Nearest integer, ties to even, for |x| < 2^51; inline where nearbyint is a call.
double nearest(double x) noexcept { return (x + 0x1.8p52) - 0x1.8p52; }

bool is_integral(const double* x, std::size_t n, double limit) noexcept {
    return std::all_of(
        x, x + n, [limit](double v) { return v >= -limit - 1.0 && v <= limit && v == nearest(v); });
}

}  // namespace

bool encode_bytes(const CodeSpec& spec, const void* row, float* wide, std::uint8_t* code,
                  RowConstants& out) noexcept {
    const kernels::KernelTable& k = kernels::active();
    double step = 1.0;
    double residual = 0.0;
    double code_norm = 0.0;
    if (spec.rows_are_codes()) {
        const auto* bytes = static_cast<const std::uint8_t*>(row);
        widen(spec.dtype, row, wide, spec.dim);
        code_norm = std::sqrt(code_norm_squared(bytes, spec.dim, spec.zero_point()));
        out.norm = norm_of(wide, spec.dim);
    } else {
        const float* x = static_cast<const float*>(row);
        if (spec.dtype != DType::kF32) {
            widen(spec.dtype, row, wide, spec.dim);
            x = wide;
        }
        const float largest = k.max_abs(x, spec.dim);
        if (!(largest < std::numeric_limits<float>::infinity())) return false;
        // A smaller step would have a reciprocal or a scale outside float32.
        step = std::max(
            {static_cast<double>(largest) / 127.0, spec.least_scale / spec.unit, 0x1p-120});
        const auto inverse = static_cast<float>(1.0 / step);
        k.quantize_u8(x, spec.dim, inverse, code);
        std::memset(code + spec.dim, 128, code_stride(spec) - spec.dim);
        residual = std::sqrt(k.residual_u8(x, code, step, spec.dim)) / step;
        code_norm = std::sqrt(code_norm_squared(code, spec.dim, 128));
        out.norm = norm_of(x, spec.dim);
    }
    out.error = {round_up_to_float(code_norm * kUp), round_up_to_float(residual * kUp)};
    // Under l2, exact rows move by the centre.
    const bool moved = spec.rows_are_codes() && spec.metric == Metric::kL2;
    set_scale(spec, step, moved ? code_norm : out.norm, out);
    out.spread = out.scale;
    return true;
}

QueryConstants quantise_bytes(const CodeSpec& spec, const double* q, double norm,
                              std::int8_t* code) noexcept {
    const auto limit = static_cast<double>(kernels::active().query_limit);
    double largest = 0.0;
    for (std::size_t k = 0; k < spec.dim; ++k) largest = std::max(largest, std::fabs(q[k]));
    QueryConstants out;
    out.step = largest > 0.0 ? largest / limit : 1.0;
    // Integer queries of integer rows are exact; tiny ones must not make 1 / step overflow under l2.
    const bool exact = is_integer(spec.dtype) && is_integral(q, spec.dim, limit);
    if (exact) out.step = 1.0;
    if (spec.metric == Metric::kL2) out.step = std::max(out.step, 0x1p-40);

    std::int64_t sum = 0;
    double error = 0.0;
    for (std::size_t k = 0; k < spec.dim; ++k) {
        const double scaled = q[k] / out.step;
        const double rounded = std::clamp(nearest(scaled), -limit - 1.0, limit);
        code[k] = static_cast<std::int8_t>(rounded);
        sum += code[k];
        error += (scaled - rounded) * (scaled - rounded);
    }
    const double length = norm / out.step;
    const double code_error = std::sqrt(error) + kKeyShare * length;
    out.code_error = exact ? 0.0f : static_cast<float>(code_error * kUp);
    out.norm = static_cast<float>(length * kUp);
    out.zero_share = static_cast<std::int32_t>(-sum * spec.zero_point());
    return out;
}

bool quantise_plain_bytes(const CodeSpec& spec, const float* query, double norm, std::int8_t* code,
                          QueryConstants& out) noexcept {
    if (spec.kind != ScanKind::kBytes || is_integer(spec.dtype)) return false;
    const kernels::KernelTable& k = kernels::active();
    const auto largest = static_cast<double>(k.max_abs(query, spec.dim));
    const double step = largest / static_cast<double>(k.query_limit);
    const double in_units = step * spec.unit;
    // Elsewhere a float32 reciprocal overflows, or 1 / step under l2.
    if (!(step > 0x1p-80 && step < 0x1p80 && in_units > 0x1p-40)) return false;
    auto* bytes = reinterpret_cast<std::uint8_t*>(code);
    k.quantize_u8(query, spec.dim, static_cast<float>(1.0 / step), bytes);
    const double error = std::sqrt(k.residual_u8(query, bytes, step, spec.dim)) / step;
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < spec.dim; ++i) {
        code[i] = static_cast<std::int8_t>(bytes[i] ^ 0x80u);
        sum += code[i];
    }
    const double length = norm / in_units;
    out.step = in_units;
    out.code_error = static_cast<float>((error + kKeyShare * length) * kUp);
    out.norm = static_cast<float>(length * kUp);
    out.zero_share = -sum * spec.zero_point();
    return true;
}

}  // namespace nearfield
