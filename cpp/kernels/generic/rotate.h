// A fast orthogonal matrix: signs, Hadamard transforms of two overlapping windows, sums and differences
// of both halves (RotationPlan says in which order).
// Butterflies go by rising stride on every level, so that the bits agree; strides below a register are
// V::hadamard, the others two at a time.
// Cost: rounds * dim * (log2(window) + 2) additions. Source: own.
#pragma once

#include "kernels/generic/element.h"
#include "kernels/rotated.h"

namespace nearfield::kernels {
namespace {

/// Strides h and 2h.
template <class V>
inline void two_strides(float* x, std::size_t n, std::size_t h) noexcept {
    for (std::size_t block = 0; block < n; block += 4 * h) {
        for (std::size_t k = block; k < block + h; k += V::kWidth) {
            const auto a = V::load(x + k);
            const auto b = V::load(x + k + h);
            const auto c = V::load(x + k + 2 * h);
            const auto d = V::load(x + k + 3 * h);
            const auto ab = V::add(a, b);
            const auto cd = V::add(c, d);
            const auto a_b = V::sub(a, b);
            const auto c_d = V::sub(c, d);
            V::store(x + k, V::add(ab, cd));
            V::store(x + k + h, V::add(a_b, c_d));
            V::store(x + k + 2 * h, V::sub(ab, cd));
            V::store(x + k + 3 * h, V::sub(a_b, c_d));
        }
    }
}

/// Stride h between a and b = a + h, for `count` elements.
template <class V>
inline void one_stride(float* a, float* b, std::size_t count) noexcept {
    std::size_t k = 0;
    for (; k + V::kWidth <= count; k += V::kWidth) {
        const auto x = V::load(a + k);
        const auto y = V::load(b + k);
        V::store(a + k, V::add(x, y));
        V::store(b + k, V::sub(x, y));
    }
    for (; k < count; ++k) {
        const float x = a[k];
        const float y = b[k];
        a[k] = x + y;
        b[k] = x - y;
    }
}

template <class V>
inline void hadamard(float* x, std::size_t n) noexcept {
    std::size_t h = 1;
    if (V::kWidth > 1 && n >= V::kWidth) {
        for (std::size_t k = 0; k < n; k += V::kWidth) V::store(x + k, V::hadamard(V::load(x + k)));
        h = V::kWidth;
    }
    for (; h >= V::kWidth && 4 * h <= n; h *= 4) two_strides<V>(x, n, h);
    for (; h < n; h *= 2) {
        for (std::size_t block = 0; block < n; block += 2 * h) {
            one_stride<V>(x + block, x + block + h, h);
        }
    }
}

template <class V>
inline void multiply(float* x, const float* factors, std::size_t n) noexcept {
    std::size_t k = 0;
    for (; k + V::kWidth <= n; k += V::kWidth) {
        V::store(x + k, V::mul(V::load(x + k), V::load(factors + k)));
    }
    for (; k < n; ++k) x[k] *= factors[k];
}

inline std::size_t window_start(const RotationPlan& plan, std::size_t round) noexcept {
    return round % 2 == 0 ? 0 : plan.dim - plan.window;
}

template <class V>
inline void rotate(float* x, const RotationPlan& plan) noexcept {
    const std::size_t half = plan.dim / 2;
    for (std::size_t r = 0; r < plan.rounds; ++r) {
        multiply<V>(x, plan.factors + r * plan.dim, plan.dim);
        hadamard<V>(x + window_start(plan, r), plan.window);
        if (plan.window != plan.dim) one_stride<V>(x, x + half, half);
    }
}

template <class V>
inline void rotate_back(float* x, const RotationPlan& plan) noexcept {
    const std::size_t half = plan.dim / 2;
    for (std::size_t r = plan.rounds; r-- > 0;) {
        if (plan.window != plan.dim) one_stride<V>(x, x + half, half);
        hadamard<V>(x + window_start(plan, r), plan.window);
        multiply<V>(x, plan.factors + r * plan.dim, plan.dim);
    }
}

}  // namespace
}  // namespace nearfield::kernels
