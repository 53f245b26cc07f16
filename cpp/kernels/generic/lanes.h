// Rows side by side: 64 rows transposed, so that one register holds one element of many rows.
//
// Nearest centroids and small matrix products then need no horizontal sum, and the winner of 64 rows
// is kept in registers while the centroids pass by. Accumulators are R matrix rows x G registers of
// lanes: every loaded register serves R multiply-adds, every broadcast G.
// One order everywhere: element after element, fused multiply-add, hence the same bits on every level.
// V: a register of V::kWidth lanes, see <isa>/lanes.h. Cost: rows * depth / kWidth multiply-adds per 64
// lanes; nearest: 3 more instructions per centroid and register. Source: own.
#pragma once

#include "kernels/generic/unroll.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

/// acc[r * G + g] += sum over d of a[r * lda + d] * b[d * ldb + lanes of g].
template <class V, std::size_t R, std::size_t G>
[[gnu::always_inline]] inline void tile_product(const float* a, std::size_t lda, const float* b,
                                                std::size_t ldb, std::size_t depth,
                                                typename V::Reg* acc) noexcept {
    for (std::size_t d = 0; d < depth; ++d) {
        typename V::Reg lanes[G];
        unroll<G>([&](auto g)
                      NEARFIELD_INLINE { lanes[g] = V::load(b + d * ldb + g * V::kWidth); });
        unroll<R>([&](auto r) NEARFIELD_INLINE {
            const typename V::Reg weight = V::set1(a[r * lda + d]);
            unroll<G>([&](auto g) NEARFIELD_INLINE {
                acc[r * G + g] = V::fmadd(weight, lanes[g], acc[r * G + g]);
            });
        });
    }
}

template <class V>
inline void nearest_lanes(const float* x, std::size_t depth, const float* weights,
                          const float* bias, std::size_t k, std::uint32_t* nearest) noexcept {
    constexpr std::size_t R = V::kTileRows;
    constexpr std::size_t G = V::kTileGroups;
    for (std::size_t lane = 0; lane < kLanes; lane += G * V::kWidth) {
        typename V::Reg best[G];
        typename V::Index winner[G];
        unroll<G>([&](auto g) NEARFIELD_INLINE {
            best[g] = V::set1(__builtin_inff());
            winner[g] = V::index(0);
        });
        for (std::size_t c = 0; c < k; c += R) {
            typename V::Reg acc[R * G];
            unroll<R * G>([&](auto i) NEARFIELD_INLINE { acc[i] = V::set1(bias[c + i / G]); });
            tile_product<V, R, G>(weights + c * depth, depth, x + lane, kLanes, depth, acc);
            unroll<R * G>([&](auto i) NEARFIELD_INLINE {
                const auto g = i % G;
                const auto number = V::index(static_cast<std::uint32_t>(c + i / G));
                winner[g] = V::select(V::less(acc[i], best[g]), number, winner[g]);
                best[g] = V::min(acc[i], best[g]);
            });
        }
        unroll<G>([&](auto g) NEARFIELD_INLINE {
            V::store_index(nearest + lane + g * V::kWidth, winner[g]);
        });
    }
}

template <class V, std::size_t R>
inline void multiply_rows(const ProductArgs& p, std::size_t row) noexcept {
    constexpr std::size_t G = V::kTileGroups;
    for (std::size_t lane = 0; lane < kLanes; lane += G * V::kWidth) {
        typename V::Reg acc[R * G];
        unroll<R * G>([&](auto i) NEARFIELD_INLINE { acc[i] = V::zero(); });
        if (p.add) {
            unroll<R * G>([&](auto i) NEARFIELD_INLINE {
                acc[i] = V::load(p.out + (row + i / G) * p.ldo + lane + (i % G) * V::kWidth);
            });
        }
        tile_product<V, R, G>(p.a + row * p.lda, p.lda, p.b + lane, p.ldb, p.depth, acc);
        unroll<R * G>([&](auto i) NEARFIELD_INLINE {
            V::store(p.out + (row + i / G) * p.ldo + lane + (i % G) * V::kWidth, acc[i]);
        });
    }
}

template <class V>
inline void multiply_lanes(const ProductArgs& p) noexcept {
    std::size_t row = 0;
    for (; row + V::kTileRows <= p.rows; row += V::kTileRows)
        multiply_rows<V, V::kTileRows>(p, row);
    for (; row < p.rows; ++row) multiply_rows<V, 1>(p, row);
}

/// x[k][lane] = (x[k][lane] - centre[k]) * scale[k], within +-limit.
template <class V>
inline void centre_lanes(float* x, std::size_t depth, const float* centre, const float* scale,
                         float limit) noexcept {
    const typename V::Reg most = V::set1(limit);
    const typename V::Reg least = V::set1(-limit);
    for (std::size_t k = 0; k < depth; ++k) {
        const typename V::Reg middle = V::set1(centre[k]);
        const typename V::Reg factor = V::set1(scale[k]);
        for (std::size_t lane = 0; lane < kLanes; lane += V::kWidth) {
            float* const p = x + k * kLanes + lane;
            const typename V::Reg moved = V::mul(V::sub(V::load(p), middle), factor);
            V::store(p, V::min(V::max(moved, least), most));
        }
    }
}

/// Rows to lanes; lanes from count on become zero. Blocks of 16 columns keep both sides in L1 whatever
/// the stride.
inline void lanes_from_rows(const float* rows, std::size_t stride, std::size_t count,
                            std::size_t dim, float* out) noexcept {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(rows);
    for (std::size_t first = 0; first < dim; first += 16) {
        const std::size_t cols = dim - first < 16 ? dim - first : 16;
        for (std::size_t r = 0; r < count; ++r) {
            const float* row = reinterpret_cast<const float*>(bytes + r * stride) + first;
            for (std::size_t k = 0; k < cols; ++k) out[(first + k) * kLanes + r] = row[k];
        }
        for (std::size_t k = 0; k < cols; ++k) {
            for (std::size_t r = count; r < kLanes; ++r) out[(first + k) * kLanes + r] = 0.0f;
        }
    }
}

template <class V>
inline void fill_lanes(KernelTable& t) noexcept {
    t.lanes_from_rows = lanes_from_rows;
    t.centre_lanes = centre_lanes<V>;
    t.multiply_lanes = multiply_lanes<V>;
    t.nearest_lanes = nearest_lanes<V>;
}

}  // namespace
}  // namespace nearfield::kernels
