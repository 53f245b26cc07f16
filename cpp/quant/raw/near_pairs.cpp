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
/// Four words of four bytes.
using Words = std::uint32_t __attribute__((vector_size(16)));
/// Turns bytes of excess 128 into signed ones.
constexpr std::uint32_t kSigns = 0x80808080u;

/// Word `at` of each of four rows.
Words words_of(const Words* rows, int at) noexcept {
    const Words a =
        __builtin_shuffle(rows[0], rows[1], at < 2 ? Words{0, 4, 1, 5} : Words{2, 6, 3, 7});
    const Words b =
        __builtin_shuffle(rows[2], rows[3], at < 2 ? Words{0, 4, 1, 5} : Words{2, 6, 3, 7});
    return __builtin_shuffle(a, b, at % 2 == 0 ? Words{0, 1, 4, 5} : Words{2, 3, 6, 7});
}

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
    std::fill_n(code_width_, kRows, 0.0f);
}

void NearPairs::set_lanes(const ByteView& rows, const Id* ids, std::size_t count) {
    lanes_ = count;
    Id padded[kLanes];
    for (std::size_t lane = 0; lane < kLanes; ++lane) padded[lane] = ids[lane < count ? lane : 0];
    std::uint8_t* const packed = packed_.data();
    for (std::size_t lane = 0; lane < round_up(count, kGroup); ++lane) {
        const ByteTerms& terms = rows.terms[padded[lane]];
        std::uint8_t* const out = packed + lane / kGroup * kGroup * depth_ + lane % kGroup * 4;
        float step = terms.scale;
        if (halved_) {
            init_[lane] = -128 * pack_halved(rows.codes + padded[lane] * rows.stride, out);
            step *= 2.0f;
        } else {
            init_[lane] = -128 * terms.sum;
            if (lane % 4 == 0) pack_four(rows, padded + lane, out);
        }
        inverse_[lane] = step > 0.0f ? 1.0f / step : 1.0f;
        lane_width_[lane] = 2.0f * kShare * square_of(terms) * inverse_[lane];
    }
}

void NearPairs::pack_four(const ByteView& rows, const Id* ids, std::uint8_t* out) const noexcept {
    const std::uint8_t* codes[4];
    for (std::size_t r = 0; r < 4; ++r) codes[r] = rows.codes + ids[r] * rows.stride;
    // What lies behind a row is coded as zero.
    for (std::size_t at = 0; at < depth_; at += sizeof(Words)) {
        Words four[4];
        for (std::size_t r = 0; r < 4; ++r) {
            std::memcpy(&four[r], codes[r] + at, sizeof(Words));
            four[r] ^= kSigns;
        }
        for (int w = 0; w < 4; ++w, out += 4 * kGroup) {
            const Words lanes = words_of(four, w);
            std::memcpy(out, &lanes, sizeof lanes);
        }
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
        const float square = square_of(terms[i]);
        scale_[i] = terms[i].scale;
        row_term_[i] = share * square;
        row_width_[i] = 2.0f * kShare * square;
    }
    if (!halved_) return;
    // A lane's code is twice the packed one and 0 or 1 more: on average a half, which the sum of the row's
    // code accounts for, and no further than that off in every element (Cauchy-Schwarz).
    const float off = 0.25f * std::sqrt(static_cast<float>(dim_)) * (1.0f + 0x1p-18f);
    for (std::size_t i = 0; i < count; ++i) {
        const auto sum = static_cast<float>(terms[i].sum);
        const float length = std::sqrt(square_of(terms[i]));
        code_term_[i] = 0.25f * terms[i].scale * sum + off * length;
        code_width_[i] = 2.0f * off * length;
    }
}

std::size_t NearPairs::find(const float* least, HitBuffer& out) const noexcept {
    alignas(64) float threshold[kLanes];
    std::fill_n(threshold, kLanes, FLT_MAX);
    std::copy_n(least, lanes_, threshold);
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
    args.row_term[1] = code_term_;
    args.lane_term[1] = one_;
    args.terms = halved_ ? 2 : 1;
    args.threshold = threshold;
    return kernels::active().panel_u8(args, out.hits());
}

}  // namespace nearfield
