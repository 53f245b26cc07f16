// Exact scores: one float32 query against one row, accumulated in float64.
//
// One canonical order on every level: element k goes to lane k mod 32, lanes are added pairwise
// (32 -> 16 -> ... -> 1). A product of two float32 is exact in float64, so a fused and an unfused
// multiply-add agree; squared differences are multiplied and added separately for the same reason.
// Hence the same bits on every ISA, thread count and batch size.
// V: a register of V::kWidth doubles, see <isa>/vec.h. Cost: dim / V::kWidth multiply-adds.
// Source: own.
#pragma once

#include "kernels/generic/element.h"
#include "kernels/generic/fold.h"

namespace nearfield::kernels {
namespace {

inline constexpr std::size_t kExactLanes = 32;

template <class V>
inline double sum_lanes(typename V::Reg* acc) noexcept {
    double lanes[V::kWidth];
    V::store(lanes, fold<V, kExactLanes / V::kWidth>(acc));
    return add_pairwise<V::kWidth>(lanes);
}

/// What step adds for elements [first, dim), fewer than a register; a sum of one term is exact.
template <class V, class T, class Step>
inline typename V::Reg last_step(const float* q, const T* x, std::size_t first, std::size_t dim,
                                 Step step) noexcept {
    float q_tail[V::kWidth] = {};
    T x_tail[V::kWidth] = {};
    for (std::size_t i = first; i < dim; ++i) {
        q_tail[i - first] = q[i];
        x_tail[i - first] = x[i];
    }
    return step(V::zero(), q_tail, x_tail);
}

/// Runs step(acc, q, x) over all registers of elements, the last one filled up with zeros. (Zeros that
/// would fill up the registers after it add nothing: no sum here is minus zero.)
template <class V, class T, class Step>
inline double accumulate(const float* q, const T* x, std::size_t dim, Step step) noexcept {
    constexpr std::size_t kRegs = kExactLanes / V::kWidth;
    typename V::Reg acc[kRegs];
    unroll<kRegs>([&](auto j) NEARFIELD_INLINE { acc[j] = V::zero(); });
    std::size_t k = 0;
    for (; k + kExactLanes <= dim; k += kExactLanes) {
        unroll<kRegs>([&](auto j) NEARFIELD_INLINE {
            acc[j] = step(acc[j], q + k + j * V::kWidth, x + k + j * V::kWidth);
        });
    }
    if (k < dim) {
        const std::size_t last = (dim - k) / V::kWidth;
        const typename V::Reg rest = last_step<V>(q, x, k + last * V::kWidth, dim, step);
        unroll<kRegs>([&](auto j) NEARFIELD_INLINE {
            const std::size_t at = k + j * V::kWidth;
            if (j < last) acc[j] = step(acc[j], q + at, x + at);
            if (j == last) acc[j] = V::add(acc[j], rest);
        });
    }
    return sum_lanes<V>(acc);
}

template <class V, class T>
inline double exact_ip(const float* q, const T* x, std::size_t dim) noexcept {
    return accumulate<V>(q, x, dim, [](typename V::Reg acc, const float* a, const T* b) noexcept {
        return V::add_exact_product(acc, V::load(a), V::load(b));
    });
}

/// exact_ip() of both parts of a folded query, added: the same bits, but every element is widened once.
template <class V, class T>
inline double exact_folded_ip(const float* high, const float* low, const T* x,
                              std::size_t dim) noexcept {
    constexpr std::size_t kRegs = kExactLanes / V::kWidth;
    constexpr std::size_t kAtOnce =
        kRegs < 4 ? kRegs : 4;  // of each sum, so that both stay in registers
    const std::size_t whole = dim / kExactLanes * kExactLanes;
    float high_tail[kExactLanes] = {};
    float low_tail[kExactLanes] = {};
    T x_tail[kExactLanes] = {};
    for (std::size_t k = whole; k < dim; ++k) {
        high_tail[k - whole] = high[k];
        low_tail[k - whole] = low[k];
        x_tail[k - whole] = x[k];
    }
    typename V::Reg high_sum[kRegs];
    typename V::Reg low_sum[kRegs];
    for (std::size_t first = 0; first < kRegs; first += kAtOnce) {
        typename V::Reg a[kAtOnce];
        typename V::Reg b[kAtOnce];
        unroll<kAtOnce>([&](auto j) NEARFIELD_INLINE { a[j] = b[j] = V::zero(); });
        const auto add = [&](const float* h, const float* l, const T* e) NEARFIELD_INLINE {
            unroll<kAtOnce>([&](auto j) NEARFIELD_INLINE {
                const std::size_t at = (first + j) * V::kWidth;
                const typename V::Reg element = V::load(e + at);
                a[j] = V::add_exact_product(a[j], V::load(h + at), element);
                b[j] = V::add_exact_product(b[j], V::load(l + at), element);
            });
        };
        for (std::size_t k = 0; k < whole; k += kExactLanes) add(high + k, low + k, x + k);
        if (whole < dim) add(high_tail, low_tail, x_tail);
        unroll<kAtOnce>([&](auto j) NEARFIELD_INLINE {
            high_sum[first + j] = a[j];
            low_sum[first + j] = b[j];
        });
    }
    return sum_lanes<V>(high_sum) + sum_lanes<V>(low_sum);
}

template <class V, class T>
inline double exact_l2(const float* q, const T* x, std::size_t dim) noexcept {
    return accumulate<V>(q, x, dim, [](typename V::Reg acc, const float* a, const T* b) noexcept {
        const typename V::Reg diff = V::sub(V::load(a), V::load(b));
        return V::add(acc, V::mul(diff, diff));
    });
}

/// Squared norm of x - scale * (code - 128).
template <class V>
inline double residual(const float* x, const std::uint8_t* code, double scale,
                       std::size_t dim) noexcept {
    constexpr std::size_t kRegs = kExactLanes / V::kWidth;
    const typename V::Reg step = V::set1(scale);
    const typename V::Reg centre = V::set1(128.0);
    typename V::Reg acc[kRegs];
    for (std::size_t j = 0; j < kRegs; ++j) acc[j] = V::zero();
    const auto add = [&](std::size_t j, const float* a, const std::uint8_t* b) noexcept {
        const typename V::Reg c = V::sub(V::load(b), centre);
        const typename V::Reg diff = V::sub(V::load(a), V::mul(step, c));
        acc[j] = V::add(acc[j], V::mul(diff, diff));
    };
    std::size_t k = 0;
    for (; k + kExactLanes <= dim; k += kExactLanes) {
        for (std::size_t j = 0; j < kRegs; ++j)
            add(j, x + k + j * V::kWidth, code + k + j * V::kWidth);
    }
    if (k < dim) {
        float x_tail[kExactLanes] = {};
        std::uint8_t code_tail[kExactLanes];
        for (std::size_t j = 0; j < kExactLanes; ++j) code_tail[j] = 128;
        for (std::size_t j = k; j < dim; ++j) {
            x_tail[j - k] = x[j];
            code_tail[j - k] = code[j];
        }
        for (std::size_t j = 0; j < kRegs; ++j)
            add(j, x_tail + j * V::kWidth, code_tail + j * V::kWidth);
    }
    return sum_lanes<V>(acc);
}

}  // namespace
}  // namespace nearfield::kernels
