// scan_rows: one panel of queries against rows of one block of a CodeView.
//
// Small panels of bytes go through the row kernels (codes streamed once, nothing wasted on empty lanes),
// all others through the panel kernels. Either way the result is the pairs that the lane's threshold lets
// pass, with the same upper bounds but for their last bits.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "kernels/table.h"
#include "quant/raw/codes.h"
#include "quant/raw/query.h"

namespace nearfield {

/// Room for every pair of one call.
struct HitBuffer {
    HitBuffer();
    kernels::PanelHits hits() noexcept { return {upper.data(), pair.data()}; }

    std::vector<float> upper;
    std::vector<std::uint32_t> pair;
};

/// Rows [first, last) of one block (panel.enter_block was called for it). Hit rows count from first.
/// Returns the number of hits.
std::size_t scan_rows(const CodeView& view, std::size_t first, std::size_t last,
                      const QueryPanel& panel, HitBuffer& buffer);

/// The lower bound that belongs to an upper bound from scan_rows, while the panel is in that block.
inline float lower_bound(float upper, Id row, const CodeView& view, const QueryPanel& panel,
                         std::size_t lane) noexcept {
    float slack = std::fabs(upper);
    // What a bias has lost below the normal range, tilt may raise above it.
    if (view.bias != nullptr) {
        slack += (std::fabs(view.bias[row]) + 0x1p-126f) * panel.tilt()[lane];
    }
    // Float64 keys decide, so a floor must hold for them as well: ties of keys are no order of scores.
    const auto of_keys = static_cast<float>(panel.key_slack(lane));
    const float lower =
        upper - panel.width(lane) * view.spread[row] - slack * 0x1p-18f - of_keys - 0x1p-118f;
    // NaN, from an upper bound that overflowed, says nothing.
    return lower >= -std::numeric_limits<float>::max() ? lower
                                                       : -std::numeric_limits<float>::infinity();
}

/// At least the difference of both bounds of every row of the panel's lane 0, given their upper bounds; see
/// lower_bound().
float widest(const CodeView& view, std::size_t first, std::size_t last, const QueryPanel& panel,
             const float* upper) noexcept;

}  // namespace nearfield
