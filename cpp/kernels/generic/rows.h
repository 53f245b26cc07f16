// Two plain loops over float32 rows.
//
//   sum_rows  adds rows to float64 sums in the order given: the same bits on every level
//   dot       a float32 inner product in 32 lanes, element k in lane k mod 32, lanes added pairwise; fused or
//             not, so its last bits depend on the level. Off by at most
//             (dim / 32 + 8) 2^-24 sum_k |a[k] b[k]|, and dim 2^-126 where products underflow.
// D: a register of doubles, V: a register of floats, see <isa>/vec.h.
// Cost: one pass. Source: own.
#pragma once

#include "kernels/generic/unroll.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

inline const float* row_at(const float* rows, std::size_t stride, std::uint32_t id) noexcept {
    return reinterpret_cast<const float*>(reinterpret_cast<const char*>(rows) + id * stride);
}

/// Several rows at once save loads and stores of the sums.
template <class D, std::size_t Rows>
inline void sum_some(const float* const* x, std::size_t dim, double* sum) noexcept {
    std::size_t d = 0;
    for (; d + D::kWidth <= dim; d += D::kWidth) {
        typename D::Reg total = D::load(sum + d);
        unroll<Rows>([&](auto r) NEARFIELD_INLINE { total = D::add(total, D::load(x[r] + d)); });
        D::store(sum + d, total);
    }
    for (; d < dim; ++d) {
        for (std::size_t r = 0; r < Rows; ++r) sum[d] += static_cast<double>(x[r][d]);
    }
}

template <class D>
inline void sum_rows(const float* rows, std::size_t stride, const std::uint32_t* ids, std::size_t n,
                     std::size_t dim, double* sum) noexcept {
    constexpr std::size_t kRows = 4;
    constexpr std::size_t kAhead = 8;
    std::size_t i = 0;
    for (; i + kRows <= n; i += kRows) {
        const float* x[kRows];
        for (std::size_t r = 0; r < kRows; ++r) {
            x[r] = row_at(rows, stride, ids[i + r]);
            if (i + r + kAhead >= n) continue;
            const float* ahead = row_at(rows, stride, ids[i + r + kAhead]);
            for (std::size_t d = 0; d < dim; d += 16) __builtin_prefetch(ahead + d);
        }
        sum_some<D, kRows>(x, dim, sum);
    }
    for (; i < n; ++i) {
        const float* x = row_at(rows, stride, ids[i]);
        sum_some<D, 1>(&x, dim, sum);
    }
}

template <class V>
inline float dot(const float* a, const float* b, std::size_t dim) noexcept {
    constexpr std::size_t kLanes = 32;
    constexpr std::size_t kRegs = kLanes / V::kWidth;
    typename V::Reg acc[kRegs];
    for (std::size_t r = 0; r < kRegs; ++r) acc[r] = V::zero();
    std::size_t k = 0;
    for (; k + kLanes <= dim; k += kLanes) {
        for (std::size_t r = 0; r < kRegs; ++r) {
            const std::size_t at = k + r * V::kWidth;
            acc[r] = V::madd(acc[r], V::load(a + at), V::load(b + at));
        }
    }
    for (std::size_t r = 0; k < dim; ++r, k += V::kWidth) {
        const std::size_t left = dim - k < V::kWidth ? dim - k : V::kWidth;
        acc[r] = V::madd(acc[r], V::load_first(a + k, left), V::load_first(b + k, left));
    }
    for (std::size_t half = kRegs / 2; half != 0; half /= 2) {
        for (std::size_t r = 0; r < half; ++r) acc[r] = V::add(acc[r], acc[r + half]);
    }
    return V::sum(acc[0]);
}

}  // namespace
}  // namespace nearfield::kernels
