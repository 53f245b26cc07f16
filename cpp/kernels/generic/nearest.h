// The nearest of k short vectors for 32 rows at once: rows lie across the lanes, one centroid element is
// broadcast to all of them.
//
// Four centroids x the registers of 32 rows are accumulated together, so that the chains of additions
// hide each other's latency; then best score, its number and the second best score are updated
// by compare and select. Scores may differ in their last bits between levels (fused or not); callers
// compare the lead with that error.
// V: a register of V::kWidth floats, see <isa>/vec.h: load, set1, store, sub, max, min, madd and
// select_above(a, b, yes, no), which is yes where a > b.
// Cost: k * (dim + 5) operations on 32 rows. Source: own.
#pragma once

#include "kernels/generic/element.h"
#include "kernels/generic/unroll.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

/// What 32 rows have found so far.
template <class V, std::size_t Regs>
struct Nearest {
    typename V::Reg best[Regs];
    typename V::Reg second[Regs];
    typename V::Reg number[Regs];
};

/// Compares `Width` centroids from number j on with the rows of `Regs` registers.
template <class V, std::size_t Regs, std::size_t Width>
inline void nearest_step(const float* rows, std::size_t dim, const float* centroids,
                         const float* shortfall, std::size_t j, Nearest<V, Regs>& found) noexcept {
    typename V::Reg score[Width * Regs];
    unroll<Width>([&](auto c) NEARFIELD_INLINE {
        const typename V::Reg start = V::sub(V::zero(), V::set1(shortfall[j + c]));
        unroll<Regs>([&](auto r) NEARFIELD_INLINE { score[c * Regs + r] = start; });
    });
    const float* from = centroids + j * dim;
    for (std::size_t d = 0; d < dim; ++d) {
        typename V::Reg x[Regs];
        unroll<Regs>([&](auto r) NEARFIELD_INLINE {
            x[r] = V::load(rows + d * kNearestRows + r * V::kWidth);
        });
        unroll<Width>([&](auto c) NEARFIELD_INLINE {
            const typename V::Reg element = V::set1(from[c * dim + d]);
            unroll<Regs>([&](auto r) NEARFIELD_INLINE {
                score[c * Regs + r] = V::madd(score[c * Regs + r], element, x[r]);
            });
        });
    }
    unroll<Width>([&](auto c) NEARFIELD_INLINE {
        const typename V::Reg number = V::set1(float_from_bits(static_cast<std::uint32_t>(j + c)));
        unroll<Regs>([&](auto r) NEARFIELD_INLINE {
            const typename V::Reg s = score[c * Regs + r];
            found.number[r] = V::select_above(s, found.best[r], number, found.number[r]);
            found.second[r] = V::max(found.second[r], V::min(found.best[r], s));
            found.best[r] = V::max(found.best[r], s);
        });
    });
}

/// Regs: registers in flight; 32 rows are taken in as many rounds as that needs.
template <class V, std::size_t Regs>
inline void nearest(const float* rows, std::size_t dim, const float* centroids,
                    const float* shortfall, std::size_t k, std::uint32_t* number, float* best,
                    float* lead) noexcept {
    constexpr std::size_t kWidth = 4;
    for (std::size_t at = 0; at < kNearestRows; at += Regs * V::kWidth) {
        Nearest<V, Regs> found;
        unroll<Regs>([&](auto r) NEARFIELD_INLINE {
            found.best[r] = found.second[r] = V::set1(-__builtin_inff());
            found.number[r] = V::zero();
        });
        std::size_t j = 0;
        for (; j + kWidth <= k; j += kWidth) {
            nearest_step<V, Regs, kWidth>(rows + at, dim, centroids, shortfall, j, found);
        }
        for (; j < k; ++j) {
            nearest_step<V, Regs, 1>(rows + at, dim, centroids, shortfall, j, found);
        }
        unroll<Regs>([&](auto r) NEARFIELD_INLINE {
            V::store(best + at + r * V::kWidth, found.best[r]);
            V::store(lead + at + r * V::kWidth, V::sub(found.best[r], found.second[r]));
            float numbers[V::kWidth];
            V::store(numbers, found.number[r]);
            for (std::size_t i = 0; i < V::kWidth; ++i) {
                number[at + r * V::kWidth + i] = bits_from_float(numbers[i]);
            }
        });
    }
}

}  // namespace
}  // namespace nearfield::kernels
