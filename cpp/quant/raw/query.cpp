#include "quant/raw/query.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/resolve.h"
#include "quant/raw/exact.h"
#include "quant/raw/kinds.h"

namespace nearfield {
namespace {

/// |x|^2 with an error of few roundings: sums in 32 lanes, as the exact scores.
double squared_norm(const std::vector<double>& x) noexcept {
    double lanes[32] = {};
    for (std::size_t k = 0; k < x.size(); ++k) lanes[k % 32] += x[k] * x[k];
    double total = 0.0;
    for (const double lane : lanes) total += lane;
    return total;
}

}  // namespace

QueryPanel::QueryPanel(const CodeSpec& spec) : spec_(spec), count_(0), depth_(code_depth(spec)) {
    allocate(kernels::kPanelLanes);
}

QueryPanel::QueryPanel(const CodeSpec& spec, const float* rows, std::size_t stride,
                       std::size_t count)
    : spec_(spec), count_(count), depth_(code_depth(spec)) {
    allocate(groups() * kernels::kGroup);
    codes_.resize(count * depth_);
    for (std::size_t lane = 0; lane < count; ++lane) {
        lane_codes_[lane] = codes_.data() + lane * depth_;
        quantise(lane, rows + lane * stride);
        set_floor(lane, -std::numeric_limits<float>::infinity());
        if (!is_scanned_by_rows()) pack(lane, codes(lane));
    }
}

void QueryPanel::allocate(std::size_t lanes) {
    packed_.resize(lanes * depth_ + 64);
    offset_ = (64 - reinterpret_cast<std::uintptr_t>(packed_.data()) % 64) % 64;
    // Unused lanes never pass.
    std::fill_n(threshold_, kernels::kPanelLanes, std::numeric_limits<float>::infinity());
}

void QueryPanel::gather(std::span<const PanelLane> lanes) {
    count_ = lanes.size();
    for (std::size_t i = 0; i < count_; ++i) {
        const QueryPanel& from = *lanes[i].panel;
        const std::size_t lane = lanes[i].lane;
        step_[i] = from.step_[lane];
        code_error_[i] = from.code_error_[lane];
        norm_[i] = from.norm_[lane];
        squared_norm_[i] = from.squared_norm_[lane];
        key_slack_[i] = from.key_slack_[lane];
        zero_share_[i] = from.zero_share_[lane];
        tilt_[i] = from.tilt_[lane];
        set_floor(i, -std::numeric_limits<float>::infinity());
        lane_codes_[i] = from.codes(lane);
        if (!is_scanned_by_rows()) pack(i, lane_codes_[i]);
    }
    // What is left of earlier queries there must not pass.
    std::fill(threshold_ + count_, threshold_ + groups() * kernels::kGroup,
              std::numeric_limits<float>::infinity());
}

void QueryPanel::quantise(std::size_t lane, const float* query) {
    std::int8_t* code = codes_.data() + lane * depth_;
    QueryConstants c;
    double squared = kernels::active().ip_f32(query, query, spec_.dim) * spec_.unit * spec_.unit;
    if (!quantise_plain_bytes(spec_, query, std::sqrt(squared), code, c)) {
        thread_local std::vector<double> scaled;
        scaled.resize(spec_.dim);
        for (std::size_t k = 0; k < spec_.dim; ++k) {
            scaled[k] = (static_cast<double>(query[k]) - spec_.centre()) * spec_.unit;
        }
        squared = squared_norm(scaled);
        const double norm = std::sqrt(squared);
        c = spec_.kind == ScanKind::kBytes ? quantise_bytes(spec_, scaled.data(), norm, code)
                                           : quantise_halves(spec_, scaled.data(), norm, code);
    }
    const bool l2 = spec_.metric == Metric::kL2;
    step_[lane] = c.step;
    code_error_[lane] = c.code_error;
    norm_[lane] = c.norm;
    squared_norm_[lane] = squared;
    zero_share_[lane] = c.zero_share;
    tilt_[lane] = l2 ? static_cast<float>(1.0 / c.step) : 0.0f;
    // Float64 keys of l2 cancel against |q|^2; see docs/accuracy.md.
    key_slack_[lane] = l2 ? 1e-12 * squared / c.step : 0.0;
    if (spec_.is_folded()) {
        // Keys say nothing of |q|.
        squared_norm_[lane] = 0.0;
        if (spec_.centre() != 0.0) {
            const double own = kernels::active().ip_f32(query, query, spec_.dim);
            squared_norm_[lane] = squared - own * spec_.unit * spec_.unit;
        }
        // Floors must hold for keys, to which the low part of a folded query belongs: twice what it can add.
        const double low = norm_of(low_of(query, spec_.dim), spec_.dim) * spec_.unit;
        key_slack_[lane] += 2.0 * kUp * low * spec_.reach / c.step;
    }
}

void QueryPanel::pack(std::size_t lane, const std::int8_t* code) noexcept {
    constexpr std::size_t kGroup = kernels::kGroup;
    std::uint8_t* to =
        packed_.data() + offset_ + lane / kGroup * depth_ * kGroup + lane % kGroup * 4;
    for (std::size_t k = 0; k < depth_; k += 4) std::memcpy(to + k * kGroup, code + k, 4);
}

void QueryPanel::enter_block(const BlockError& error) noexcept {
    float margin[kernels::kPanelLanes];
    for (std::size_t lane = 0; lane < kernels::kPanelLanes; ++lane) {
        margin[lane] = code_error_[lane] * error.code_norm + norm_[lane] * error.residual;
    }
    for (std::size_t lane = 0; lane < kernels::kPanelLanes; ++lane) {
        if (spec_.kind == ScanKind::kBytes) {
            // Truncation and + 1 round up, and cover the rounding of the sum above.
            const std::int32_t whole =
                margin[lane] > 0.0f ? static_cast<std::int32_t>(margin[lane]) + 1 : 0;
            init_[lane] = zero_share_[lane] + whole;
            width_[lane] = static_cast<float>(2 * whole);
        } else {
            margin_[lane] = margin[lane] * static_cast<float>(kUp);
            width_[lane] = 2.0f * margin_[lane];
        }
    }
}

float QueryPanel::slacken(float floor) noexcept {
    return floor - std::fabs(floor) * 0x1p-20f - 0x1p-120f;
}

KeyUnits QueryPanel::units(std::size_t lane) const noexcept {
    const double per_step = 1.0 / step_[lane];
    switch (spec_.metric) {
        case Metric::kIp: return {spec_.unit * spec_.unit * per_step, 0.0, key_slack_[lane]};
        case Metric::kCosine: return {spec_.unit * per_step, 0.0, key_slack_[lane]};
        case Metric::kL2: break;
    }
    return {0.5 * spec_.unit * spec_.unit * per_step, 0.5 * squared_norm_[lane] * per_step,
            key_slack_[lane]};
}

}  // namespace nearfield
