// Panel scan: a block of rows against up to 64 queries, selection fused into the epilogue.
//
// Lanes are queries: one word (4 bytes) of a row is broadcast and multiplied with the same word of 16
// queries, so accumulators end up with one score per lane and no horizontal sum is needed. R rows x G
// groups of accumulators stay in registers; the epilogue turns them into upper bounds, compares with
// the queries' thresholds and writes only the pairs that pass.
// P: the policy of one ISA and element type:
//   Acc, Query, Word      registers for 16 accumulators, 16 query words, one broadcast row word
//   load_init, load_query, broadcast, dot, upper, emit (see each <isa>/panel.h)
// Cost: R*G*depth/4 dots per R+G loads. Source: own; layout as in BLIS-style GEMM micro-kernels.
#pragma once

#include "kernels/generic/unroll.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

/// Writes the hits of one row and one group from entry n on; mask has one bit per lane, pair is that of
/// lane 0. Returns the new n. Policies with a compress instruction have their own.
inline std::size_t emit_scalar(std::uint32_t mask, const float* upper, std::uint32_t pair,
                               const PanelHits& hits, std::size_t n) noexcept {
    while (mask != 0) {
        const auto lane = static_cast<std::uint32_t>(__builtin_ctz(mask));
        mask &= mask - 1;
        hits.upper[n] = upper[lane];
        hits.pair[n++] = pair + lane;
    }
    return n;
}

inline std::uint32_t pair_of(std::size_t row, std::size_t group) noexcept {
    return static_cast<std::uint32_t>(row * kPanelLanes + group * kGroup);
}

template <class P, std::size_t R, std::size_t G>
inline std::size_t panel_rows(const PanelArgs& a, std::size_t first, const PanelHits& hits,
                              std::size_t n) noexcept {
    typename P::Acc acc[R * G];
    unroll<R * G>([&](auto i) NEARFIELD_INLINE { acc[i] = P::load_init(a.init, i % G); });
    const std::size_t depth = a.depth;
    const std::size_t stride = a.stride;
    const std::size_t group_bytes = depth * kGroup;
    const std::uint8_t* rows = a.rows + first * stride;
    const std::uint8_t* panel = a.panel;
    for (std::size_t k = 0; k < depth; k += 4, rows += 4, panel += 4 * kGroup) {
        typename P::Query query[G];
        unroll<G>([&](auto g)
                      NEARFIELD_INLINE { query[g] = P::load_query(panel + g * group_bytes); });
        unroll<R>([&](auto r) NEARFIELD_INLINE {
            const typename P::Word word = P::broadcast(rows + r * stride);
            unroll<G>([&](auto g) NEARFIELD_INLINE {
                acc[r * G + g] = P::dot(acc[r * G + g], word, query[g]);
            });
        });
    }
    unroll<R * G>([&](auto i) NEARFIELD_INLINE {
        typename P::Upper upper;
        const std::size_t row = first + i / G;
        const std::uint32_t mask = P::upper(a, acc[i], row, i % G, upper);
        if (mask != 0) n = P::emit(mask, upper, pair_of(row, i % G), hits, n);
    });
    return n;
}

template <class P, std::size_t R, std::size_t G>
inline std::size_t panel_groups(const PanelArgs& a, const PanelHits& hits) noexcept {
    std::size_t n = 0;
    std::size_t row = 0;
    for (; row + R <= a.count; row += R) n = panel_rows<P, R, G>(a, row, hits, n);
    for (; row < a.count; ++row) n = panel_rows<P, 1, G>(a, row, hits, n);
    return n;
}

template <class P>
inline std::size_t panel_scan(const PanelArgs& a, const PanelHits& hits) noexcept {
    constexpr std::size_t kRegs = P::kAccumulators;  // R * G accumulators fit the register file
    switch (a.groups) {
        case 1: return panel_groups < P, kRegs<8 ? kRegs : 8, 1>(a, hits);
        case 2: return panel_groups<P, (kRegs + 1) / 2, 2>(a, hits);
        case 3: return panel_groups<P, (kRegs + 2) / 3, 3>(a, hits);
        default: return panel_groups<P, (kRegs + 3) / 4, 4>(a, hits);
    }
}

}  // namespace
}  // namespace nearfield::kernels
