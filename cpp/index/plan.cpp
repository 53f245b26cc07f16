#include "index/plan.h"

#include <algorithm>
#include <numeric>

#include "quant/raw/query.h"

namespace nearfield {
namespace {

/// Packed queries of one group stay in L2 beside the block of rows they meet.
constexpr std::size_t kGroupBytes = std::size_t{768} << 10;
constexpr std::size_t kMaxPanelsPerGroup = 16;
constexpr std::size_t kMinPanelsPerGroup = 3;
/// A range of rows worth a task of its own.
constexpr std::size_t kMinBlocksPerRange = 16;

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// A step near the golden section of `blocks` and coprime to it: multiples of it fill the circle evenly
/// at every moment (Knuth, The Art of Computer Programming 3, 6.4, theorem S).
std::size_t golden_stride(std::size_t blocks) {
    auto stride = static_cast<std::size_t>(static_cast<double>(blocks) * 0.6180339887498949);
    while (stride > 1 && std::gcd(stride, blocks) != 1) --stride;
    return std::max<std::size_t>(stride, 1);
}

}  // namespace

Plan::Plan(std::size_t queries, std::size_t rows, std::size_t depth, std::size_t threads,
           bool scattered)
    : blocks(ceil_div(rows, kBlockRows)), stride(scattered ? golden_stride(blocks) : 1) {
    // Every thread gets queries of its own while that leaves it half a panel of them.
    const std::size_t shares =
        std::clamp<std::size_t>(queries / (kernels::kPanelLanes / 2), 1, threads);
    const std::size_t panels = std::max(ceil_div(queries, kernels::kPanelLanes), shares);
    // Even panels: 65 queries run as 48 + 17, not as 64 + 1.
    panel_lanes =
        std::min(round_up(ceil_div(queries, panels), kernels::kGroup), kernels::kPanelLanes);
    const std::size_t per_group = std::clamp<std::size_t>(
        kGroupBytes / (depth * kernels::kPanelLanes), 1, kMaxPanelsPerGroup);
    groups = std::max(
        {ceil_div(panels, per_group), shares, std::min(2 * threads, panels / kMinPanelsPerGroup)});
    // So that no thread runs a group more than others, as far as panels can be shared out evenly.
    if (groups > threads) groups = round_up(groups, threads);
    group_lanes = ceil_div(ceil_div(queries, panel_lanes), groups) * panel_lanes;
    groups = ceil_div(queries, group_lanes);
    // The rest is split by rows; each range pays for finding its floors.
    ranges = groups >= threads
                 ? 1
                 : std::clamp<std::size_t>(ceil_div(2 * threads, groups), 1,
                                           std::max<std::size_t>(1, blocks / kMinBlocksPerRange));
    range_blocks = ceil_div(blocks, ranges);
    ranges = std::max<std::size_t>(1, ceil_div(blocks, range_blocks));
}

}  // namespace nearfield
