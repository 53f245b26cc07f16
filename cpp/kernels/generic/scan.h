// 4-bit codes against byte tables, what the levels share: blocks, queries, hits.
//
// S: the policy of one ISA: kBlocks, how many blocks of 32 rows S::blocks<Q, B>(args, block, n) adds up
// and compares at once for Q queries; n: hits so far, per query.
// Cost: see the policies. Source: the tables in registers are those of Andre, Kermarrec, Le Scouarnec,
// "Cache locality is not enough", 2015; the layout is own.
#pragma once

#include "kernels/generic/unroll.h"
#include "kernels/table.h"

namespace nearfield::kernels {
namespace {

/// Rows of a block that exist, one bit each.
inline std::uint32_t rows_of_block(const ScanArgs& a, std::size_t block) noexcept {
    const std::size_t left = a.rows - block * kScanRows;
    return left >= kScanRows ? 0xffffffffu : (1u << left) - 1u;
}

inline const std::uint8_t* codes_of_block(const ScanArgs& a, std::size_t block) noexcept {
    return a.codes + block * a.chunks * kScanChunk;
}

inline const std::uint8_t* tables_of_query(const ScanArgs& a, std::size_t query) noexcept {
    return a.tables + query * a.chunks * kScanChunk;
}

/// Lists the rows of mask with their sums.
template <class Sum>
inline void list_hits(const ScanArgs& a, std::size_t query, std::size_t block, std::uint32_t mask,
                      const Sum* sums, std::size_t* n) noexcept {
    std::uint32_t* const sum = a.sum + query * a.capacity;
    std::uint32_t* const row = a.row + query * a.capacity;
    for (; mask != 0; mask &= mask - 1) {
        const auto lane = static_cast<std::uint32_t>(__builtin_ctz(mask));
        sum[n[query]] = sums[lane];
        row[n[query]++] = static_cast<std::uint32_t>(block * kScanRows) + lane;
    }
}

template <class S, std::size_t Q>
inline void scan_queries(const ScanArgs& a) noexcept {
    std::size_t n[kScanQueries] = {};
    const std::size_t count = (a.rows + kScanRows - 1) / kScanRows;
    std::size_t block = 0;
    for (; block + S::kBlocks <= count; block += S::kBlocks)
        S::template blocks<Q, S::kBlocks>(a, block, n);
    for (; block < count; ++block) S::template blocks<Q, 1>(a, block, n);
    for (std::size_t q = 0; q < Q; ++q) a.found[q] = n[q];
}

template <class S>
inline void scan_u4(const ScanArgs& a) noexcept {
    switch (a.queries) {
        case 1: return scan_queries<S, 1>(a);
        case 2: return scan_queries<S, 2>(a);
        case 3: return scan_queries<S, 3>(a);
        default: return scan_queries<S, 4>(a);
    }
}

}  // namespace
}  // namespace nearfield::kernels
