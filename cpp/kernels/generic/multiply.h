// Rows times a matrix in float32: what transforms are made of.
//
// R rows x P panels of 16 outputs are accumulated in registers: every loaded register serves R
// multiply-adds, every broadcast element of a row all registers of the panels.
// One order everywhere: products enter with fused multiply-adds in the order of d within blocks of
// kProductBlock, whose sums are added in order. Hence the same bits on every level, and a row's result
// depends on that row alone. Off by at most (kProductBlock + depth / kProductBlock + 2) 2^-24 times
// sum over d of |x[d] w[d][j]|, typically by a tenth of 10^-6.
// Cost: one multiply-add a product; 1.3 loads for V::kProductRows of them. Source: Goto & van de Geijn,
// "Anatomy of high-performance matrix multiplication" (ACM TOMS 2008); the order: own.
#pragma once

#include "kernels/generic/unroll.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

/// Writes or adds 16 * P sums of one row, of which some may be past the last output.
template <std::size_t P>
inline void store_some(const RowProductArgs& p, std::size_t row, std::size_t column,
                       const float* sums, bool add) noexcept {
    float* const out = p.out + row * p.ldo + column;
    const std::size_t left = p.outputs - column;
    const std::size_t count = left < P * kPanelOutputs ? left : P * kPanelOutputs;
    for (std::size_t j = 0; j < count; ++j) out[j] = add ? out[j] + sums[j] : sums[j];
}

/// R rows from `row` on, P panels from `panel` on, elements first to last.
template <class V, std::size_t R, std::size_t P>
[[gnu::always_inline]] inline void multiply_tile(const RowProductArgs& p, std::size_t row,
                                                 std::size_t panel, std::size_t first,
                                                 std::size_t last, bool add) noexcept {
    constexpr std::size_t G = P * kPanelOutputs / V::kWidth;
    typename V::Reg acc[R * G];
    unroll<R * G>([&](auto i) NEARFIELD_INLINE { acc[i] = V::zero(); });
    const float* const x = p.x + row * p.ldx;
    const float* const w = p.weights + panel * p.panel_step;
    for (std::size_t d = first; d < last; ++d) {
        typename V::Reg lanes[G];
        unroll<G>([&](auto g) NEARFIELD_INLINE {
            constexpr std::size_t kLane = g * V::kWidth;
            lanes[g] = V::load(w + kLane / kPanelOutputs * p.panel_step + d * p.depth_step +
                               kLane % kPanelOutputs);
        });
        unroll<R>([&](auto r) NEARFIELD_INLINE {
            const typename V::Reg element = V::set1(x[r * p.ldx + d]);
            unroll<G>([&](auto g) NEARFIELD_INLINE {
                acc[r * G + g] = V::fmadd(element, lanes[g], acc[r * G + g]);
            });
        });
    }
    const std::size_t column = panel * kPanelOutputs;
    if (column + P * kPanelOutputs <= p.outputs) {
        float* const out = p.out + row * p.ldo + column;
        unroll<R * G>([&](auto i) NEARFIELD_INLINE {
            float* const to = out + (i / G) * p.ldo + (i % G) * V::kWidth;
            V::store(to, add ? V::add(V::load(to), acc[i]) : acc[i]);
        });
        return;
    }
    unroll<R>([&](auto r) NEARFIELD_INLINE {
        float sums[P * kPanelOutputs];
        unroll<G>([&](auto g) NEARFIELD_INLINE { V::store(sums + g * V::kWidth, acc[r * G + g]); });
        store_some<P>(p, row + r, column, sums, add);
    });
}

template <class V, std::size_t P>
inline void multiply_panels(const RowProductArgs& p, std::size_t panel, std::size_t first,
                            std::size_t last) noexcept {
    const bool add = p.add || first != 0;
    std::size_t row = 0;
    for (; row + V::kProductRows <= p.rows; row += V::kProductRows) {
        multiply_tile<V, V::kProductRows, P>(p, row, panel, first, last, add);
    }
    for (; row < p.rows; ++row) multiply_tile<V, 1, P>(p, row, panel, first, last, add);
}

template <class V>
inline void multiply_rows_f32(const RowProductArgs& p) noexcept {
    constexpr std::size_t kMost = V::kProductPanels;
    const std::size_t panels = (p.outputs + kPanelOutputs - 1) / kPanelOutputs;
    for (std::size_t first = 0; first < p.depth; first += kProductBlock) {
        const std::size_t left = p.depth - first;
        const std::size_t last = first + (left < kProductBlock ? left : kProductBlock);
        std::size_t panel = 0;
        for (; panel + kMost <= panels; panel += kMost) {
            multiply_panels<V, kMost>(p, panel, first, last);
        }
        for (; panel < panels; ++panel) multiply_panels<V, 1>(p, panel, first, last);
    }
}

/// sum[j] += the weighted sum of rows, blocks of kProductBlock of them as above.
template <class V>
inline void add_weighted_rows_f32(const float* rows, std::size_t stride, const std::uint32_t* ids,
                                  const float* weights, std::size_t n, std::size_t dim,
                                  float* sum) noexcept {
    constexpr std::size_t kRegisters = V::kWidth == 1 ? 16 : 4;
    constexpr std::size_t kStep = kRegisters * V::kWidth;
    for (std::size_t first = 0; first < n; first += kProductBlock) {
        const std::size_t last = n - first < kProductBlock ? n : first + kProductBlock;
        std::size_t j = 0;
        for (; j + kStep <= dim; j += kStep) {
            typename V::Reg acc[kRegisters];
            unroll<kRegisters>([&](auto g) NEARFIELD_INLINE { acc[g] = V::zero(); });
            for (std::size_t i = first; i < last; ++i) {
                const float* const row = rows + ids[i] * stride + j;
                const typename V::Reg weight = V::set1(weights[i]);
                unroll<kRegisters>([&](auto g) NEARFIELD_INLINE {
                    acc[g] = V::fmadd(weight, V::load(row + g * V::kWidth), acc[g]);
                });
            }
            unroll<kRegisters>([&](auto g) NEARFIELD_INLINE {
                float* const to = sum + j + g * V::kWidth;
                V::store(to, V::add(V::load(to), acc[g]));
            });
        }
        for (; j < dim; j += V::kWidth) {
            const std::size_t count = dim - j < V::kWidth ? dim - j : V::kWidth;
            typename V::Reg acc = V::zero();
            for (std::size_t i = first; i < last; ++i) {
                const typename V::Reg row = V::load_first(rows + ids[i] * stride + j, count);
                acc = V::fmadd(V::set1(weights[i]), row, acc);
            }
            float block[V::kWidth];
            V::store(block, acc);
            for (std::size_t c = 0; c < count; ++c) sum[j + c] += block[c];
        }
    }
}

}  // namespace
}  // namespace nearfield::kernels
