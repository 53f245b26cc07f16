// 4-bit codes against byte tables, one look-up at a time.
#pragma once

#include "kernels/generic/scan.h"

namespace nearfield::kernels {
namespace {

struct ScanScalar {
    static constexpr std::size_t kBlocks = 1;
    template <std::size_t Q, std::size_t B>
    static void blocks(const ScanArgs& a, std::size_t block, std::size_t* n) noexcept {
        const std::uint8_t* const codes = codes_of_block(a, block);
        for (std::size_t q = 0; q < Q; ++q) {
            std::uint32_t sums[kScanRows] = {};
            for (std::size_t c = 0; c < a.chunks; ++c) {
                const std::uint8_t* const table = tables_of_query(a, q) + c * kScanChunk;
                for (std::size_t i = 0; i < kScanChunk; ++i) {
                    const std::uint8_t code = codes[c * kScanChunk + i];
                    const std::size_t at = i % 4 * 16;
                    sums[i / 4] += static_cast<std::uint32_t>(table[at + (code & 15u)]) +
                                   static_cast<std::uint32_t>(table[64 + at + (code >> 4)]);
                }
            }
            std::uint32_t mask = 0;
            for (std::uint32_t r = 0; r < kScanRows; ++r)
                mask |= static_cast<std::uint32_t>(sums[r] >= a.threshold[q]) << r;
            list_hits(a, q, block, mask & rows_of_block(a, block), sums, n);
        }
    }
};

}  // namespace
}  // namespace nearfield::kernels
