// Conversions and code making over whole vectors; tails go through a zero-padded buffer.
// V: a register of V::kWidth floats with load/store for float, F16 and BF16. Source: own.
#pragma once

#include "kernels/generic/element.h"

namespace nearfield::kernels {
namespace {

template <class V, class In, class Out>
inline void convert(const In* in, Out* out, std::size_t n) noexcept {
    std::size_t k = 0;
    for (; k + V::kWidth <= n; k += V::kWidth) V::store(out + k, V::load(in + k));
    if (k < n) {
        In in_tail[V::kWidth] = {};
        Out out_tail[V::kWidth];
        for (std::size_t j = k; j < n; ++j) in_tail[j - k] = in[j];
        V::store(out_tail, V::load(in_tail));
        for (std::size_t j = k; j < n; ++j) out[j] = out_tail[j - k];
    }
}

template <class V>
inline float max_abs(const float* x, std::size_t n) noexcept {
    typename V::Reg best = V::zero();
    std::size_t k = 0;
    for (; k + V::kWidth <= n; k += V::kWidth) best = V::max_abs(best, V::load(x + k));
    if (k < n) {
        float tail[V::kWidth] = {};
        for (std::size_t j = k; j < n; ++j) tail[j - k] = x[j];
        best = V::max_abs(best, V::load(tail));
    }
    float lanes[V::kWidth];
    V::store(lanes, best);
    std::uint32_t most = 0;  // magnitudes compare like integers, NaN above infinity
    for (std::size_t j = 0; j < V::kWidth; ++j) {
        const std::uint32_t bits = bits_from_float(lanes[j]);
        most = bits > most ? bits : most;
    }
    return most >= 0x7f800000u ? float_from_bits(0x7f800000u) : float_from_bits(most);
}

template <class V>
inline void quantize(const float* x, std::size_t n, float inverse, std::uint8_t* code) noexcept {
    const typename V::Reg factor = V::set1(inverse);
    std::size_t k = 0;
    for (; k + V::kWidth <= n; k += V::kWidth) {
        V::store_codes(code + k, V::mul(V::load(x + k), factor));
    }
    if (k < n) {
        float tail[V::kWidth] = {};
        std::uint8_t code_tail[V::kWidth];
        for (std::size_t j = k; j < n; ++j) tail[j - k] = x[j];
        V::store_codes(code_tail, V::mul(V::load(tail), factor));
        for (std::size_t j = k; j < n; ++j) code[j] = code_tail[j - k];
    }
}

}  // namespace
}  // namespace nearfield::kernels
