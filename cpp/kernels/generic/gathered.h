// One query against rows anywhere in memory: four at a time share the loads of the query and the sums over
// lanes; the caller has prefetched them.
//
// G, from <isa>/gathered.h: Query, a piece of the query for kBytes bytes of a row, loaded by
// load(q, k); Sum, what has been added up so far; add(sum, row, query); store<R>(sums, out), R whole numbers.
// Cost: one pass. Source: own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/generic/unroll.h"

namespace nearfield::kernels {
namespace {

template <class G, std::size_t R>
[[gnu::always_inline]] inline void gather_some(const std::uint8_t* rows, std::size_t stride,
                                               const std::uint32_t* ids, const std::int8_t* q,
                                               std::size_t depth, std::int32_t* out) noexcept {
    const std::uint8_t* row[R];
    typename G::Sum sum[R];
    unroll<R>([&](auto r) NEARFIELD_INLINE {
        row[r] = rows + std::size_t{ids[r]} * stride;
        sum[r] = G::zero();
    });
    for (std::size_t k = 0; k < depth; k += G::kBytes) {
        const typename G::Query query = G::load(q, k);
        unroll<R>([&](auto r) NEARFIELD_INLINE { sum[r] = G::add(sum[r], row[r] + k, query); });
    }
    G::template store<R>(sum, out);
}

template <class G>
inline void gather(const std::uint8_t* rows, std::size_t stride, const std::uint32_t* ids,
                   std::size_t count, const std::int8_t* q, std::size_t depth,
                   std::int32_t* out) noexcept {
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        gather_some<G, 4>(rows, stride, ids + i, q, depth, out + i);
    }
    switch (count - i) {
        case 1: return gather_some<G, 1>(rows, stride, ids + i, q, depth, out + i);
        case 2: return gather_some<G, 2>(rows, stride, ids + i, q, depth, out + i);
        case 3: return gather_some<G, 3>(rows, stride, ids + i, q, depth, out + i);
        default: return;
    }
}

}  // namespace
}  // namespace nearfield::kernels
