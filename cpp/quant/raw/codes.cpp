#include "quant/raw/codes.h"

#include <cmath>

#include "quant/raw/kinds.h"

namespace nearfield {

bool encode_row(const CodeSpec& spec, const void* row, float* wide, std::uint8_t* code,
                RowConstants& out) noexcept {
    return spec.kind == ScanKind::kBytes ? encode_bytes(spec, row, wide, code, out)
                                         : encode_halves(spec, row, wide, code, out);
}

void set_scale(const CodeSpec& spec, double step, double norm, RowConstants& out) noexcept {
    out.bias = 0.0f;
    if (spec.metric == Metric::kCosine) {
        out.scale = norm > 0.0 ? static_cast<float>(step / norm) : 0.0f;
        return;
    }
    out.scale = static_cast<float>(step * spec.unit);
    if (spec.metric == Metric::kL2) {
        const double half = 0.5 * (norm * spec.unit) * (norm * spec.unit);
        out.bias = round_up_to_float(-half * (1.0 - 0x1p-20));
    }
}

double unit_for(double norm) noexcept {
    if (!(norm > 0.0)) return 1.0;
    return std::ldexp(1.0, -std::ilogb(norm));
}

}  // namespace nearfield
