// exp, tanh and the logistic function in float32, and what is made of them: softmax, modulation.
//
// Fused multiply-adds and whole powers of two only, so the same bits on every level. exp is off by at most
// 2 ulp between -86 and 88 and keeps to these ends beyond them; tanh and the logistic function by 3 ulp.
// Whatever is NaN or infinite becomes NaN: overflow shows, where limits would hide it.
// Source: own polynomials, least largest relative error on the reduced range (exp 3e-9, tanh 4e-9);
// reduction by ln 2 in two parts: Cody & Waite, "Software manual for the elementary functions" (1980).
#pragma once

#include "kernels/generic/fold.h"
#include "kernels/generic/unroll.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

inline constexpr std::size_t kShareLanes = 16;

/// f of n elements, register by register; in and out may be the same.
template <class V, class F>
[[gnu::always_inline]] inline void map_elements(const float* in, float* out, std::size_t n,
                                                const F& f) noexcept {
    std::size_t k = 0;
    for (; k + V::kWidth <= n; k += V::kWidth) V::store(out + k, f(V::load(in + k), k));
    if (k == n) return;
    float rest[V::kWidth];
    V::store(rest, f(V::load_first(in + k, n - k), k));
    for (std::size_t j = 0; k + j < n; ++j) out[k + j] = rest[j];
}

template <class V>
[[gnu::always_inline]] inline typename V::Reg exponential(typename V::Reg x) noexcept {
    using Reg = typename V::Reg;
    const Reg inside = V::min(V::max(x, V::set1(-86.0f)), V::set1(88.0f));
    // Adding 1.5 * 2^23 rounds to a whole number, which then stands in the lowest bits.
    const Reg shift = V::set1(12582912.0f);
    const Reg shifted = V::fmadd(inside, V::set1(0x1.715476p+0f), shift);
    const Reg power = V::sub(shifted, shift);
    Reg r = V::fmadd(power, V::set1(-0x1.62e4p-1f), inside);
    r = V::fmadd(power, V::set1(-0x1.7f7d1cp-20f), r);
    Reg q = V::fmadd(V::set1(0x1.6a234ap-10f), r, V::set1(0x1.123a6cp-7f));
    q = V::fmadd(q, r, V::set1(0x1.5558f4p-5f));
    q = V::fmadd(q, r, V::set1(0x1.555490p-3f));
    q = V::fmadd(q, r, V::set1(0x1.fffffcp-2f));
    const Reg mantissa = V::add(V::fmadd(V::mul(r, r), q, r), V::set1(1.0f));
    return V::fmadd(x, V::zero(), V::times_power(mantissa, shifted));
}

template <class V>
[[gnu::always_inline]] inline typename V::Reg magnitude(typename V::Reg x) noexcept {
    return V::max(x, V::sub(V::zero(), x));
}

template <class V>
[[gnu::always_inline]] inline typename V::Reg logistic(typename V::Reg x) noexcept {
    using Reg = typename V::Reg;
    const Reg one = V::set1(1.0f);
    const Reg small = exponential<V>(V::sub(V::zero(), magnitude<V>(x)));
    const Reg top = V::select(V::less(x, V::zero()), small, one);
    return V::fmadd(x, V::zero(), V::div(top, V::add(one, small)));
}

template <class V>
[[gnu::always_inline]] inline typename V::Reg hyperbolic_tangent(typename V::Reg x) noexcept {
    using Reg = typename V::Reg;
    const Reg size = magnitude<V>(x);
    const Reg square = V::mul(x, x);
    Reg q = V::fmadd(V::set1(-0x1.76abc6p-8f), square, V::set1(0x1.5256c4p-6f));
    q = V::fmadd(q, square, V::set1(-0x1.b84446p-5f));
    q = V::fmadd(q, square, V::set1(0x1.110768p-3f));
    q = V::fmadd(q, square, V::set1(-0x1.555534p-2f));
    const Reg near = V::fmadd(V::mul(square, x), q, x);
    const Reg one = V::set1(1.0f);
    const Reg grown = exponential<V>(V::min(V::add(size, size), V::set1(40.0f)));
    const Reg far = V::sub(one, V::div(V::set1(2.0f), V::add(grown, one)));
    const Reg signed_far = V::select(V::less(x, V::zero()), V::sub(V::zero(), far), far);
    return V::fmadd(x, V::zero(), V::select(V::less(size, V::set1(0.625f)), near, signed_far));
}

/// The largest of n >= 1 numbers.
template <class V>
inline float largest(const float* x, std::size_t n) noexcept {
    float best = x[0];
    std::size_t k = 0;
    if (n >= V::kWidth) {
        typename V::Reg most = V::load(x);
        for (; k + V::kWidth <= n; k += V::kWidth) most = V::max(most, V::load(x + k));
        float lanes[V::kWidth];
        V::store(lanes, most);
        for (const float lane : lanes) best = lane > best ? lane : best;
    }
    for (; k < n; ++k) best = x[k] > best ? x[k] : best;
    return best;
}

/// x = exp(x - max) / sum. Sums of every 16th element, added pairwise.
template <class V>
inline void softmax_f32(float* x, std::size_t n) noexcept {
    const typename V::Reg most = V::set1(largest<V>(x, n));
    map_elements<V>(x, x, n, [&](typename V::Reg v, std::size_t) NEARFIELD_INLINE {
        return exponential<V>(V::sub(v, most));
    });
    float lanes[kShareLanes] = {};
    std::size_t k = 0;
    for (; k + kShareLanes <= n; k += kShareLanes) {
        for (std::size_t j = 0; j < kShareLanes; ++j) lanes[j] += x[k + j];
    }
    for (std::size_t j = 0; k + j < n; ++j) lanes[j] += x[k + j];
    const typename V::Reg share = V::set1(1.0f / add_pairwise<kShareLanes>(lanes));
    map_elements<V>(
        x, x, n, [&](typename V::Reg v, std::size_t) NEARFIELD_INLINE { return V::mul(v, share); });
}

/// out = exp(z - max z) * x
template <class V>
inline void modulate_f32(const float* z, const float* x, std::size_t n, float* out) noexcept {
    const typename V::Reg most = V::set1(largest<V>(z, n));
    map_elements<V>(z, out, n, [&](typename V::Reg v, std::size_t k) NEARFIELD_INLINE {
        const typename V::Reg factor = exponential<V>(V::sub(v, most));
        return V::mul(factor, n - k < V::kWidth ? V::load_first(x + k, n - k) : V::load(x + k));
    });
}

template <class V>
inline void logistic_f32(float* x, std::size_t n) noexcept {
    map_elements<V>(x, x, n,
                    [](typename V::Reg v, std::size_t) NEARFIELD_INLINE { return logistic<V>(v); });
}

template <class V>
inline void tanh_f32(float* x, std::size_t n) noexcept {
    map_elements<V>(x, x, n, [](typename V::Reg v, std::size_t) NEARFIELD_INLINE {
        return hyperbolic_tangent<V>(v);
    });
}

}  // namespace
}  // namespace nearfield::kernels
