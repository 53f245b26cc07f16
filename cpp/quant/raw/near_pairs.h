// NearPairs: of some rows in bytes against a block of others, the pairs that may be as near as wanted.
//
// Rows are scale * (code - 128). For a lane l and a row i with codes p and q
//     <l, i> = s_l s_i sum (p - 128)(q - 128),    |l - i|^2 = |l|^2 + |i|^2 - 2 <l, i>,
// hence the score of a pair, larger for nearer ones of the same lane: <l, i> / s_l, less |i|^2 / (2 s_l) where
// distance counts, but for a factor and a term that belong to the lane. The panel kernel reports pairs by an
// upper bound of it; where kernels take no more than 7 bits of a lane, bounds are wider apart.
// Cost: a byte product an element of a pair. Source: own; the panels are those of quant/raw/scan.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/buffer.h"
#include "kernels/table.h"
#include "quant/raw/byte_products.h"
#include "quant/raw/scan.h"

namespace nearfield {

/// Rows as encode_row() codes them.
struct ByteView {
    const std::uint8_t* codes;
    std::size_t stride;
    const ByteTerms* terms;
};

class NearPairs {
public:
    static constexpr std::size_t kLanes = kernels::kPanelLanes;
    static constexpr std::size_t kRows = kernels::kMaxPanelRows;

    /// by_distance: pairs by squared distance, else by minus the inner product.
    NearPairs(std::size_t dim, bool by_distance);

    /// The lanes: these rows, up to kLanes.
    void set_lanes(const ByteView& rows, const std::uint32_t* ids, std::size_t count);

    /// Rows first .. first + count - 1, up to kRows: what find() compares with.
    void set_block(const ByteView& rows, std::size_t first, std::size_t count);

    /// Writes all pairs with an upper bound of at least least[lane], as row in the block * kLanes + lane;
    /// returns how many. Bounds that leave the range of float32 may be infinite or not a number.
    std::size_t find(const float* least, HitBuffer& out) const noexcept;

    /// How far below the upper bound of a pair its score may be.
    float width(std::size_t row, std::size_t lane) const noexcept {
        return row_width_[row] * inverse_[lane] + lane_width_[lane] + code_width_[row];
    }

private:
    void pack_four(const ByteView& rows, const Id* ids, std::uint8_t* out) const noexcept;
    std::int32_t pack_halved(const std::uint8_t* codes, std::uint8_t* out) const noexcept;

    std::size_t dim_;
    std::size_t depth_;
    bool by_distance_;
    bool halved_;  // lanes are half their codes
    Buffer packed_;
    std::size_t lanes_ = 0;
    alignas(64) std::int32_t init_[kLanes];
    alignas(64) float inverse_[kLanes];  // of the step of a packed lane
    alignas(64) float lane_width_[kLanes];
    alignas(64) float one_[kLanes];
    const std::uint8_t* rows_ = nullptr;
    std::size_t stride_ = 0;
    std::size_t count_ = 0;
    alignas(64) float scale_[kRows];
    alignas(64) float row_term_[kRows];
    alignas(64) float row_width_[kRows];
    alignas(64) float code_term_[kRows];  // of lanes that are halved
    alignas(64) float code_width_[kRows];
};

}  // namespace nearfield
