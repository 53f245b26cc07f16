// One query against consecutive codes: bytes of a scalar quantizer, table entries of a product
// quantizer.
//
// One canonical order on every level: element k goes to lane k mod 32, lanes are added pairwise
// (32 -> 16 -> ... -> 1); products are rounded before they are added.
// V: a register of V::kWidth lanes, see <isa>/lanes.h. Source: own.
#pragma once

#include "kernels/generic/element.h"
#include "kernels/generic/fold.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

inline constexpr std::size_t kSumLanes = 32;

template <class V>
inline float add_lanes(typename V::Reg* acc) noexcept {
    float lanes[V::kWidth];
    V::store(lanes, fold<V, kSumLanes / V::kWidth>(acc));
    return add_pairwise<V::kWidth>(lanes);
}

/// Calls step(register, element, codes) over full chunks of 32 codes, then over a copied tail; what
/// stands at codes past the end is up to the tables, which reach to the next multiple of 32.
template <class V, class Code, class Step>
inline float sum_codes(const Code* code, std::size_t n, Step step) noexcept {
    constexpr std::size_t kRegs = kSumLanes / V::kWidth;
    typename V::Reg acc[kRegs];
    for (std::size_t j = 0; j < kRegs; ++j) acc[j] = V::zero();
    std::size_t k = 0;
    for (; k + kSumLanes <= n; k += kSumLanes) {
        for (std::size_t j = 0; j < kRegs; ++j) {
            acc[j] = V::add(acc[j], step(k + j * V::kWidth, code + k + j * V::kWidth));
        }
    }
    if (k < n) {
        Code tail[kSumLanes] = {};
        for (std::size_t j = k; j < n; ++j) tail[j - k] = code[j];
        for (std::size_t j = 0; j < kRegs; ++j) {
            acc[j] = V::add(acc[j], step(k + j * V::kWidth, tail + j * V::kWidth));
        }
    }
    return add_lanes<V>(acc);
}

template <class V, bool kIp>
inline void scalar_scores(const ScalarArgs& a, float* out) noexcept {
    for (std::size_t i = 0; i < a.count; ++i) {
        const float sum = sum_codes<V>(
            a.codes + i * a.dim, a.dim, [&](std::size_t k, const std::uint8_t* code) noexcept {
                const auto q = V::load(a.query + k);
                const auto x =
                    V::add(V::mul(V::load(a.step + k), V::load_byte(code)), V::load(a.base + k));
                if constexpr (kIp) return V::mul(q, x);
                const auto difference = V::sub(q, x);
                return V::mul(difference, difference);
            });
        out[i] = kIp ? sum : -sum;
    }
}

/// out[i] = sum over j < m of tables[j * k + codes[i * m + j]]
template <class V, class Code>
inline void table_sums(const float* tables, std::size_t k, const Code* codes, std::size_t m,
                       std::size_t count, float* out) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        out[i] = sum_codes<V>(codes + i * m, m, [&](std::size_t j, const Code* code) noexcept {
            return V::look_up(tables + j * k, static_cast<std::uint32_t>(k), code);
        });
    }
}

template <class V, bool kIp>
inline void centroid_table(const float* q, std::size_t dim, const float* centroids, std::size_t k,
                           float* out) noexcept {
    for (std::size_t c = 0; c < k; c += V::kWidth) {
        auto acc = V::zero();
        for (std::size_t d = 0; d < dim; ++d) {
            const auto value = V::load(centroids + d * k + c);
            const auto difference = V::sub(V::set1(q[d]), value);
            acc = kIp ? V::fmadd(V::set1(q[d]), value, acc) : V::fmadd(difference, difference, acc);
        }
        V::store(out + c, kIp ? acc : V::sub(V::zero(), acc));
    }
}

/// code = (x - low) * inverse cut to a whole number in 0..most.
template <class V>
inline void scalar_codes(const float* x, const float* low, const float* inverse, float most,
                         std::size_t n, std::uint8_t* code) noexcept {
    const auto encode = [&](const float* px, std::size_t k, std::uint8_t* out) noexcept {
        const auto cell = V::mul(V::sub(V::load(px), V::load(low + k)), V::load(inverse + k));
        V::store_byte(out, V::min(V::max(cell, V::zero()), V::set1(most)));
    };
    std::size_t k = 0;
    for (; k + V::kWidth <= n; k += V::kWidth) encode(x + k, k, code + k);
    if (k < n) {
        float tail[V::kWidth] = {};
        std::uint8_t code_tail[V::kWidth];
        for (std::size_t j = k; j < n; ++j) tail[j - k] = x[j];
        encode(tail, k, code_tail);
        for (std::size_t j = k; j < n; ++j) code[j] = code_tail[j - k];
    }
}

template <class V>
inline void fill_lookup(KernelTable& t) noexcept {
    t.scalar_codes = scalar_codes<V>;
    t.scalar_ip = scalar_scores<V, true>;
    t.scalar_l2 = scalar_scores<V, false>;
    t.table_ip = centroid_table<V, true>;
    t.table_l2 = centroid_table<V, false>;
    t.table_sums_u8 = table_sums<V, std::uint8_t>;
    t.table_sums_u16 = table_sums<V, std::uint16_t>;
}

}  // namespace
}  // namespace nearfield::kernels
