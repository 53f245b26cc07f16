#include "quant/raw/query.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/resolve.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

constexpr double kUp = 1.0 + 1e-6;

/// Nearest integer, ties to even, for |x| < 2^51; inline where nearbyint is a call.
double nearest(double x) noexcept { return (x + 0x1.8p52) - 0x1.8p52; }

bool is_integral(const std::vector<double>& x, double limit) noexcept {
    return std::all_of(x.begin(), x.end(), [limit](double v) {
        return v >= -limit - 1.0 && v <= limit && v == nearest(v);
    });
}

}  // namespace

QueryPanel::QueryPanel(const CodeSpec& spec, const float* rows, std::size_t stride,
                       std::size_t count)
    : spec_(spec), count_(count), depth_(code_depth(spec.dim)) {
    packed_.resize(groups() * kernels::kGroup * depth_ + 64);
    offset_ = (64 - reinterpret_cast<std::uintptr_t>(packed_.data()) % 64) % 64;
    codes_.resize(count * depth_);
    // Unused lanes never pass.
    std::fill_n(threshold_, kernels::kPanelLanes, std::numeric_limits<float>::infinity());
    for (std::size_t lane = 0; lane < count; ++lane) {
        quantise(lane, rows + lane * stride);
        set_floor(lane, -std::numeric_limits<float>::infinity());
    }
    pack();
}

void QueryPanel::quantise(std::size_t lane, const float* query) {
    const auto limit = static_cast<double>(kernels::active().query_limit);
    std::vector<double> q(spec_.dim);
    double largest = 0.0;
    for (std::size_t k = 0; k < spec_.dim; ++k) {
        q[k] = (static_cast<double>(query[k]) - spec_.centre()) * spec_.unit;
        largest = std::max(largest, std::fabs(q[k]));
    }
    double step = largest > 0.0 ? largest / limit : 1.0;
    // Integer queries of integer rows are exact; tiny ones must not make 1 / step overflow under l2.
    const bool exact = spec_.rows_are_codes() && is_integral(q, limit);
    if (exact) step = 1.0;
    if (spec_.metric == Metric::kL2) step = std::max(step, 0x1p-40);

    std::int8_t* code = codes_.data() + lane * depth_;
    std::int64_t sum = 0;
    double error = 0.0;
    double norm = 0.0;
    for (std::size_t k = 0; k < spec_.dim; ++k) {
        const double scaled = q[k] / step;
        const double rounded = std::clamp(nearest(scaled), -limit - 1.0, limit);
        code[k] = static_cast<std::int8_t>(rounded);
        sum += code[k];
        error += (scaled - rounded) * (scaled - rounded);
        norm += scaled * scaled;
    }
    step_[lane] = step;
    // Float64 keys round as well: a share of |p + d| |c| far above that is added unless all is integer.
    const double length = std::sqrt(norm);
    code_error_[lane] = exact ? 0.0f : static_cast<float>((std::sqrt(error) + 1e-9 * length) * kUp);
    norm_[lane] = static_cast<float>(length * kUp);
    squared_norm_[lane] = norm * step * step;
    zero_share_[lane] = static_cast<std::int32_t>(-sum * spec_.zero_point());
    tilt_[lane] = spec_.metric == Metric::kL2 ? static_cast<float>(1.0 / step) : 0.0f;
    // Float64 keys of l2 cancel against |q|^2; see docs/accuracy.md.
    key_slack_[lane] = 1e-12 * (spec_.metric == Metric::kL2 ? squared_norm_[lane] / step : 0.0);
}

void QueryPanel::pack() {
    std::uint8_t* out = packed_.data() + offset_;
    for (std::size_t lane = 0; lane < count_; ++lane) {
        const std::size_t group = lane / kernels::kGroup;
        const std::int8_t* code = codes(lane);
        std::uint8_t* to = out + group * depth_ * kernels::kGroup + (lane % kernels::kGroup) * 4;
        for (std::size_t k = 0; k < depth_; k += 4) {
            __builtin_memcpy(to + k * kernels::kGroup, code + k, 4);
        }
    }
}

void QueryPanel::enter_block(const BlockError& error) noexcept {
    for (std::size_t lane = 0; lane < kernels::kPanelLanes; ++lane) {
        // Truncation and + 1 round up, and cover the rounding of this float32 sum.
        const float margin = code_error_[lane] * error.code_norm + norm_[lane] * error.residual;
        const std::int32_t whole = margin > 0.0f ? static_cast<std::int32_t>(margin) + 1 : 0;
        init_[lane] = zero_share_[lane] + whole;
        width_[lane] = static_cast<float>(2 * whole);
    }
}

float QueryPanel::slacken(float floor) noexcept {
    return floor - std::fabs(floor) * 0x1p-20f - 0x1p-120f;
}

double QueryPanel::in_lane_units(std::size_t lane, double key) const noexcept {
    switch (spec_.metric) {
        case Metric::kIp: return key * spec_.unit * spec_.unit / step_[lane];
        case Metric::kCosine: return key * spec_.unit / step_[lane];
        case Metric::kL2:
            return 0.5 * (squared_norm_[lane] + key * spec_.unit * spec_.unit) / step_[lane];
    }
    return key;
}

}  // namespace nearfield
