// scan_rows: one panel of queries against rows of one block of a CodeView.
//
// Small panels go through the row kernels (codes streamed once, nothing wasted on empty lanes), all
// others through the panel kernels. Either way the result is the pairs that the lane's threshold lets
// pass, with the same upper bounds.
#pragma once

#include <cstddef>
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

}  // namespace nearfield
