// Lanes added pairwise, 32 -> 16 -> ... -> 1: the order in which sums are the same on every level.
//
// Whole registers are added as long as there are two, then the lanes of the last one.
#pragma once

#include "kernels/generic/unroll.h"

namespace nearfield::kernels {
namespace {

/// The sum of Count registers, a power of two.
template <class V, std::size_t Count>
inline typename V::Reg fold(typename V::Reg* acc) noexcept {
    if constexpr (Count == 1) {
        return acc[0];
    } else {
        constexpr std::size_t kHalf = Count / 2;
        unroll<kHalf>([&](auto j) NEARFIELD_INLINE { acc[j] = V::add(acc[j], acc[j + kHalf]); });
        return fold<V, kHalf>(acc);
    }
}

/// The same within a register that has been stored.
template <std::size_t Count, class T>
inline T add_pairwise(T* lanes) noexcept {
    if constexpr (Count > 1) {
        constexpr std::size_t kHalf = Count / 2;
        unroll<kHalf>([&](auto j) NEARFIELD_INLINE { lanes[j] += lanes[j + kHalf]; });
        return add_pairwise<kHalf>(lanes);
    }
    return lanes[0];
}

}  // namespace
}  // namespace nearfield::kernels
