// Rows times a narrow matrix, accumulated in float64: out[i][j] = sum over k of x[i][k] * b[k][j].
//
// Elements are added in the order of k and lanes lie side by side over j: the same bits on every level, for any
// rows beside a row, since products are exact in float64 (of float32 values) or rounded before they are added.
// Tiles are four rows by two registers: eight sums in flight hide the latency of a multiply-add.
// V: a register of V::kWidth doubles. Cost: rows * depth * width / V::kWidth multiply-adds. Source: own.
#pragma once

#include "kernels/generic/unroll.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

/// step(sum, x, b): the sum with one more product.
template <class V, class Step>
[[gnu::always_inline]] inline void add_products(const FactorArgs& args, Step step) noexcept {
    constexpr std::size_t kTall = 4;
    constexpr std::size_t kWide = 2;
    for (std::size_t i = 0; i < args.rows; i += kTall) {
        const double* x[kTall];
        for (std::size_t r = 0; r < kTall; ++r) {
            // Rows past the last are the last once more.
            x[r] = args.x + (i + r < args.rows ? i + r : args.rows - 1) * args.depth;
        }
        for (std::size_t j = 0; j < args.width; j += kWide * V::kWidth) {
            typename V::Reg sum[kTall * kWide];
            unroll<kTall * kWide>([&](auto s) NEARFIELD_INLINE { sum[s] = V::zero(); });
            const double* b = args.b + j;
            for (std::size_t k = 0; k < args.depth; ++k, b += args.width) {
                const typename V::Reg left = V::load(b);
                const typename V::Reg right = V::load(b + V::kWidth);
                unroll<kTall>([&](auto r) NEARFIELD_INLINE {
                    const typename V::Reg element = V::set1(x[r][k]);
                    sum[kWide * r] = step(sum[kWide * r], element, left);
                    sum[kWide * r + 1] = step(sum[kWide * r + 1], element, right);
                });
            }
            for (std::size_t r = 0; r < kTall && i + r < args.rows; ++r) {
                double* out = args.out + (i + r) * args.width + j;
                V::store(out, sum[kWide * r]);
                V::store(out + V::kWidth, sum[kWide * r + 1]);
            }
        }
    }
}

template <class V>
inline void factor_products(const FactorArgs& args) noexcept {
    using Reg = typename V::Reg;
    add_products<V>(args, [](Reg sum, Reg x, Reg b)
                              NEARFIELD_INLINE { return V::add_exact_product(sum, x, b); });
}

template <class V>
inline void rounded_products(const FactorArgs& args) noexcept {
    using Reg = typename V::Reg;
    add_products<V>(
        args, [](Reg sum, Reg x, Reg b) NEARFIELD_INLINE { return V::add(sum, V::mul(x, b)); });
}

template <class V>
inline void split_f64(const double* x, const float* added, std::size_t n, float* high,
                      float* low) noexcept {
    const auto split = [](typename V::Reg sum, float* to_high, float* to_low) NEARFIELD_INLINE {
        V::store(to_high, sum);
        V::store(to_low, V::sub(sum, V::load(to_high)));
    };
    std::size_t k = 0;
    for (; k + V::kWidth <= n; k += V::kWidth) {
        const typename V::Reg own = added == nullptr ? V::zero() : V::load(added + k);
        split(V::add(V::load(x + k), own), high + k, low + k);
    }
    for (; k < n; ++k) {
        const double sum = x[k] + (added == nullptr ? 0.0 : static_cast<double>(added[k]));
        high[k] = static_cast<float>(sum);
        low[k] = static_cast<float>(sum - static_cast<double>(high[k]));
    }
}

}  // namespace
}  // namespace nearfield::kernels
