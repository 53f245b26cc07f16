// nth_largest: selection by counting, an order of magnitude faster than moving values about.
#pragma once

#include <span>

#include "kernels/resolve.h"

namespace nearfield {

/// The rank-th largest of `values` (1: the largest), which hold no NaN.
inline float nth_largest(std::span<const float> values, std::size_t rank) noexcept {
    return kernels::active().nth_largest_f32(values.data(), values.size(), rank);
}

}  // namespace nearfield
