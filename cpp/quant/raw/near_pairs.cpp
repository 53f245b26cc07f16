#include "quant/raw/near_pairs.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "kernels/resolve.h"

namespace nearfield {
namespace {

using kernels::kGroup;

/// Share of |l|^2 + |i|^2 that covers every rounding to float32, with room.
constexpr float kShare = 0x1p-19f;
/// Turns four bytes of excess 128 into signed ones.
constexpr std::uint32_t kSigns = 0x80808080u;

float square_of(const ByteTerms& terms) noexcept {
    return terms.scale * terms.scale * static_cast<float>(terms.square);
}

}  // namespace

NearPairs::NearPairs(std::size_t dim, bool by_distance)
    : dim_(dim),
      depth_(round_up(dim, kernels::kDepthStep)),
      by_distance_(by_distance),
      halved_(kernels::active().query_limit < 127),
      packed_(kLanes * depth_) {
    std::fill_n(one_, kLanes, 1.0f);
}

void NearPairs::set_lanes(const ByteView& rows, const Id* ids, std::size_t count) {
    lanes_ = count;
    std::uint8_t* const packed = packed_.data();
    for (std::size_t lane = 0; lane < round_up(count, kGroup); ++lane) {
        const Id row = ids[lane < count ? lane : 0];
        const ByteTerms& terms = rows.terms[row];
        std::uint8_t* const out = packed + lane / kGroup * kGroup * depth_ + lane % kGroup * 4;
        const std::uint8_t* const codes = rows.codes + row * rows.stride;
        float step = terms.scale;
        if (halved_) {
            init_[lane] = -128 * pack_halved(codes, out);
            step *= 2.0f;
        } else {
            init_[lane] = -128 * terms.sum;
            pack(codes, out);
        }
        inverse_[lane] = step > 0.0f ? 1.0f / step : 1.0f;
        square_[lane] = square_of(terms);
    }
}

void NearPairs::pack(const std::uint8_t* codes, std::uint8_t* out) const noexcept {
    // What lies behind the row is coded as zero.
    for (std::size_t at = 0; at < depth_; at += 4, out += 4 * kGroup) {
        std::uint32_t word;
        std::memcpy(&word, codes + at, sizeof word);
        word ^= kSigns;
        std::memcpy(out, &word, sizeof word);
    }
}

/// Returns the sum of what is packed.
std::int32_t NearPairs::pack_halved(const std::uint8_t* codes, std::uint8_t* out) const noexcept {
    std::int32_t sum = 0;
    for (std::size_t at = 0; at < depth_; at += 4, out += 4 * kGroup) {
        for (std::size_t b = 0; b < 4; ++b) {
            const auto half = static_cast<std::int8_t>((codes[at + b] - 128) >> 1);
            sum += half;
            out[b] = static_cast<std::uint8_t>(half);
        }
    }
    return sum;
}

void NearPairs::set_block(const ByteView& rows, std::size_t first, std::size_t count) {
    rows_ = rows.codes + first * rows.stride;
    stride_ = rows.stride;
    count_ = count;
    const ByteTerms* const terms = rows.terms + first;
    const float share = by_distance_ ? kShare - 0.5f : kShare;
    for (std::size_t i = 0; i < count; ++i) {
        scale_[i] = terms[i].scale;
        row_term_[i] = share * square_of(terms[i]);
    }
    if (!halved_) return;
    // A lane's code is twice the packed one and 0 or 1 more: on average a half, which the sum of the row's
    // code accounts for, and no further than that off in every element (Cauchy-Schwarz).
    const float off = 0.25f * std::sqrt(static_cast<float>(dim_)) * (1.0f + 0x1p-18f);
    for (std::size_t i = 0; i < count; ++i) {
        const auto sum = static_cast<float>(terms[i].sum);
        row_margin_[i] = 0.25f * terms[i].scale * sum + off * std::sqrt(square_of(terms[i]));
    }
}

std::size_t NearPairs::find(const float* bounds, HitBuffer& out) const noexcept {
    alignas(64) float threshold[kLanes];
    std::fill_n(threshold, kLanes, FLT_MAX);
    for (std::size_t lane = 0; lane < lanes_; ++lane) {
        const float least = by_distance_ ? (0.5f - kShare) * square_[lane] - 0.5f * bounds[lane]
                                         : -bounds[lane] - kShare * square_[lane];
        threshold[lane] = std::max(least * inverse_[lane], -FLT_MAX);
    }
    kernels::PanelArgs args{};
    args.rows = rows_;
    args.stride = stride_;
    args.count = count_;
    args.depth = depth_;
    args.panel = packed_.data();
    args.groups = (lanes_ + kGroup - 1) / kGroup;
    args.init = init_;
    args.scale = scale_;
    args.row_term[0] = row_term_;
    args.lane_term[0] = inverse_;
    args.row_term[1] = row_margin_;
    args.lane_term[1] = one_;
    args.terms = halved_ ? 2 : 1;
    args.threshold = threshold;
    return kernels::active().panel_u8(args, out.hits());
}

}  // namespace nearfield
