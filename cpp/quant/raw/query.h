// QueryPanel: up to 64 queries quantised and packed for the panel kernels, with their error terms.
//
// Scores of one lane are in units of its step t (q = t * (p + d), p the codes, d what rounding left):
//     <q,x> / t = s * (<p,c> +- (|d| |c| + |p + d| |r|))          Cauchy-Schwarz, twice
// for x = s * (c + r). So upper = s * (<p,c> + margin) bounds the score from above; margin depends on
// the lane and, through max |c| and max |r|, on the block. Sums of bytes start at the margin. Sums of
// bfloat16, which round as well (a share of |p| |c| more), get it per row as spread * margin.
// l2 adds -|x|^2 / 2 (times 1 / t): the order of <q,x> - |x|^2 / 2 is the order of distances. Float32
// rounding of the epilogue is covered by the slack in threshold().
// Source: own; docs/accuracy.md has the derivation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/table.h"
#include "quant/raw/codes.h"

namespace nearfield {

class QueryPanel;

/// What a float64 key of ExactScorer is in the units of a query's bounds, and how far both may be apart.
struct KeyUnits {
    double per_key;
    double at_zero;
    double slack;

    double of(double key) const noexcept { return key * per_key + at_zero; }
};

/// One lane of a panel.
struct PanelLane {
    const QueryPanel* panel;
    std::size_t lane;
};

class QueryPanel {
public:
    /// A panel to gather() into.
    explicit QueryPanel(const CodeSpec& spec);

    /// rows: up to kPanelLanes queries of spec.dim floats, `stride` floats apart.
    QueryPanel(const CodeSpec& spec, const float* rows, std::size_t stride, std::size_t count);

    /// Takes up to kPanelLanes queries of other panels of the same spec, which are not quantised again
    /// and must stay while this panel is used; floors start at -infinity.
    void gather(std::span<const PanelLane> lanes);

    std::size_t count() const noexcept { return count_; }
    std::size_t groups() const noexcept { return (count_ + kernels::kGroup - 1) / kernels::kGroup; }

    /// Sets the margins for a block of rows.
    void enter_block(const BlockError& error) noexcept;

    /// Twice the margin of a lane in the current block: upper - lower, in the row's spread.
    float width(std::size_t lane) const noexcept { return width_[lane]; }

    /// Lane's pairs below `floor` (a lower bound from this panel) are no longer wanted.
    void set_floor(std::size_t lane, float floor) noexcept { threshold_[lane] = slacken(floor); }

    double key_slack(std::size_t lane) const noexcept { return key_slack_[lane]; }
    KeyUnits units(std::size_t lane) const noexcept;

    const std::uint8_t* packed() const noexcept { return packed_.data() + offset_; }
    const std::int8_t* codes(std::size_t lane) const noexcept { return lane_codes_[lane]; }
    ScanKind kind() const noexcept { return spec_.kind; }
    /// So few queries of bytes that a panel kernel would spend most of its lanes on nothing.
    bool is_scanned_by_rows() const noexcept {
        return spec_.kind == ScanKind::kBytes && count_ <= 3;
    }
    /// Where sums start. kBytes: minus the zero point's share, plus margin. kBF16: zero, of either type.
    const std::int32_t* init() const noexcept { return init_; }
    /// kBF16: what is added in the row's spread.
    const float* margin() const noexcept { return margin_; }
    const float* tilt() const noexcept { return tilt_; }
    const float* threshold() const noexcept { return threshold_; }
    std::size_t depth() const noexcept { return depth_; }

    /// The threshold that lets every float32 upper bound of a true score >= floor pass.
    static float slacken(float floor) noexcept;

private:
    void allocate(std::size_t lanes);
    void quantise(std::size_t lane, const float* query);
    void pack(std::size_t lane, const std::int8_t* code) noexcept;

    CodeSpec spec_;
    std::size_t count_;
    std::size_t depth_;
    std::size_t offset_ = 0;  // aligns packed_ to a cache line
    std::vector<std::uint8_t> packed_;
    std::vector<std::int8_t> codes_;  // of either kind, depth_ bytes a lane; empty if gathered
    const std::int8_t* lane_codes_[kernels::kPanelLanes] = {};
    double step_[kernels::kPanelLanes] = {};
    alignas(64) float code_error_[kernels::kPanelLanes] = {};  // see QueryConstants
    alignas(64) float norm_[kernels::kPanelLanes] = {};
    double squared_norm_[kernels::kPanelLanes] = {};
    double key_slack_[kernels::kPanelLanes] = {};
    std::int32_t zero_share_[kernels::kPanelLanes] = {};
    alignas(64) std::int32_t init_[kernels::kPanelLanes] = {};
    alignas(64) float margin_[kernels::kPanelLanes] = {};
    alignas(64) float width_[kernels::kPanelLanes] = {};
    alignas(64) float tilt_[kernels::kPanelLanes] = {};
    alignas(64) float threshold_[kernels::kPanelLanes];
};

}  // namespace nearfield
