// Uniform grids without zero, the alphabet of rotated codes: half-integers from 0.5 - half to half - 0.5.
//
// floor(v) + 0.5 is taken as round(v - 0.5) + 0.5, to nearest even: the two differ where v is whole and
// both neighbours are equally near. Sums run in 32 lanes of float32, element k in lane k mod 32, added
// pairwise, product and sum rounded apart, so that the bits agree on every level.
// Cost: about six operations an element. Source: own.
#pragma once

#include "kernels/generic/element.h"
#include "kernels/rotated.h"

namespace nearfield::kernels {
namespace {

/// Whole part of the grid point nearest to x * inverse; its value is this + 0.5.
template <class V>
inline typename V::Reg grid_floor(typename V::Reg x, typename V::Reg inverse,
                                  typename V::Reg half) noexcept {
    const auto shifted = V::sub(V::mul(x, inverse), V::set1(0.5f));
    const auto low = V::sub(V::zero(), half);
    const auto inside = V::clamp(shifted, low, V::sub(half, V::set1(1.0f)));
    const auto magic = V::set1(12582912.0f);  // 1.5 * 2^23: rounds to nearest even
    return V::sub(V::add(inside, magic), magic);
}

template <class V>
inline float sum_grid_lanes(const typename V::Reg* acc) noexcept {
    float lanes[kGridLanes];
    for (std::size_t j = 0; j < kGridLanes / V::kWidth; ++j) {
        V::store(lanes + j * V::kWidth, acc[j]);
    }
    for (std::size_t width = kGridLanes / 2; width != 0; width /= 2) {
        for (std::size_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
    }
    return lanes[0];
}

template <class V>
inline void fit_grid(const float* x, std::size_t n, float inverse, float half,
                     GridFit* fit) noexcept {
    constexpr std::size_t kRegs = kGridLanes / V::kWidth;
    typename V::Reg dot[kRegs];
    typename V::Reg norm[kRegs];
    for (std::size_t j = 0; j < kRegs; ++j) dot[j] = norm[j] = V::zero();
    const auto factor = V::set1(inverse);
    const auto levels = V::set1(half);
    for (std::size_t k = 0; k < n; k += kGridLanes) {
        for (std::size_t j = 0; j < kRegs; ++j) {
            const auto value = V::load(x + k + j * V::kWidth);
            const auto y = V::add(grid_floor<V>(value, factor, levels), V::set1(0.5f));
            dot[j] = V::add(dot[j], V::mul(value, y));
            norm[j] = V::add(norm[j], V::mul(y, y));
        }
    }
    fit->dot = sum_grid_lanes<V>(dot);
    fit->norm = sum_grid_lanes<V>(norm);
}

template <class V>
inline void grid_codes(const float* x, std::size_t n, float inverse, float half,
                       std::uint8_t* code) noexcept {
    const auto factor = V::set1(inverse);
    const auto levels = V::set1(half);
    for (std::size_t k = 0; k < n; k += V::kWidth) {
        V::store_bytes(code + k, V::add(grid_floor<V>(V::load(x + k), factor, levels), levels));
    }
}

}  // namespace
}  // namespace nearfield::kernels
