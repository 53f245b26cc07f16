#include "quant/raw/codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/resolve.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// Slightly more than the rounding of everything done in float64 here.
constexpr double kUp = 1.0 + 1e-6;

float round_up_to_float(double x) noexcept {
    const float f = static_cast<float>(x);
    return static_cast<double>(f) < x ? std::nextafterf(f, std::numeric_limits<float>::infinity())
                                      : f;
}

/// |c|^2 of a code row; integers, hence exact.
double code_norm_squared(const std::uint8_t* code, std::size_t dim, int zero_point) noexcept {
    std::int64_t total = 0;
    for (std::size_t k = 0; k < dim; ++k) {
        const int c = static_cast<int>(code[k]) - zero_point;
        total += c * c;
    }
    return static_cast<double>(total);
}

}  // namespace

bool encode_row(const CodeSpec& spec, const void* row, float* wide, std::uint8_t* code,
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
        step = std::max({static_cast<double>(largest) / 127.0, 0x1p-100 / spec.unit, 0x1p-120});
        const auto inverse = static_cast<float>(1.0 / step);
        k.quantize_u8(x, spec.dim, inverse, code);
        std::memset(code + spec.dim, 128, code_stride(spec.dim) - spec.dim);
        residual = std::sqrt(k.residual_u8(x, code, step, spec.dim)) / step;
        code_norm = std::sqrt(code_norm_squared(code, spec.dim, 128));
        out.norm = norm_of(x, spec.dim);
    }
    out.error = {round_up_to_float(code_norm * kUp), round_up_to_float(residual * kUp)};
    out.bias = 0.0f;
    if (spec.metric == Metric::kCosine) {
        out.scale = out.norm > 0.0 ? static_cast<float>(step / out.norm) : 0.0f;
        return true;
    }
    out.scale = static_cast<float>(step * spec.unit);
    if (spec.metric == Metric::kL2) {
        // The norm of what the codes stand for: exact rows move by the centre.
        const double norm = spec.rows_are_codes() ? code_norm : out.norm;
        const double half = 0.5 * (norm * spec.unit) * (norm * spec.unit);
        out.bias = static_cast<float>(-half * (1.0 - 0x1p-20));
    }
    return true;
}

double unit_for(double norm) noexcept {
    if (!(norm > 0.0)) return 1.0;
    return std::ldexp(1.0, -std::ilogb(norm));
}

}  // namespace nearfield
