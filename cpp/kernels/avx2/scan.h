// 4-bit codes against byte tables with byte shuffles: 32 rows look up one table per instruction.
//
// Rows lie 4 bytes apart; 12 shuffles a chunk turn 128 bytes into 4 registers with one byte of every
// row, shared by all queries. Sums are 16 bits wide: even bytes gather the low and the high byte of a
// word, odd ones the high byte, which is taken off at the end.
// Cost: 12 shuffles and 8 masks a chunk of 8 sub-quantizers and 32 rows, and per query 8 look-ups and 24
// more. Source: own; the two sums as in FAISS's fast scan.
#pragma once

#include <immintrin.h>

#include "kernels/generic/scan.h"

namespace nearfield::kernels {
namespace {

struct ScanShuffle {
    static constexpr std::size_t kBlocks = 1;
    struct Bytes {
        __m256i byte[4];
    };
    /// Byte b of every row: position p of 128-bit half h belongs to row 8 (p / 4) + 4 h + p % 4.
    static Bytes load(const std::uint8_t* codes) noexcept {
        const __m256i group =
            _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1,
                             5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        __m256i v[4];
        unroll<4>([&](auto i) NEARFIELD_INLINE {
            v[i] = _mm256_shuffle_epi8(
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + 32 * i)), group);
        });
        const __m256i low01 = _mm256_unpacklo_epi32(v[0], v[1]);
        const __m256i low23 = _mm256_unpacklo_epi32(v[2], v[3]);
        const __m256i high01 = _mm256_unpackhi_epi32(v[0], v[1]);
        const __m256i high23 = _mm256_unpackhi_epi32(v[2], v[3]);
        return {{_mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
                 _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)}};
    }
    static __m256i look_up(const std::uint8_t* table, __m256i index) noexcept {
        const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), index);
    }
    /// Both sums of 16 bits each to 32 words in the order of rows.
    static void store_in_order(__m256i even, __m256i odd, std::uint16_t* sums) noexcept {
        const __m256i low = _mm256_unpacklo_epi16(even, odd);   // positions 0-7 of both halves
        const __m256i high = _mm256_unpackhi_epi16(even, odd);  // positions 8-15
        // Positions 4 i to 4 i + 3 of half h are rows 8 i + 4 h on: halves side by side per i.
        const __m256i first = _mm256_permute4x64_epi64(low, 0xd8);
        const __m256i second = _mm256_permute4x64_epi64(high, 0xd8);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), first);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 16), second);
    }
    template <std::size_t Q, std::size_t B>
    static void blocks(const ScanArgs& a, std::size_t block, std::size_t* n) noexcept {
        __m256i low[Q];  // sums of whole words
        __m256i odd[Q];
        unroll<Q>([&](auto q) NEARFIELD_INLINE { low[q] = odd[q] = _mm256_setzero_si256(); });
        const __m256i nibble = _mm256_set1_epi8(15);
        const std::uint8_t* codes = codes_of_block(a, block);
        for (std::size_t c = 0; c < a.chunks; ++c, codes += kScanChunk) {
            const Bytes bytes = load(codes);
            unroll<4>([&](auto b) NEARFIELD_INLINE {
                const __m256i first = _mm256_and_si256(bytes.byte[b], nibble);
                const __m256i second =
                    _mm256_and_si256(_mm256_srli_epi16(bytes.byte[b], 4), nibble);
                unroll<Q>([&](auto q) NEARFIELD_INLINE {
                    const std::uint8_t* table = tables_of_query(a, q) + c * kScanChunk + 16 * b;
                    const __m256i x = look_up(table, first);
                    const __m256i y = look_up(table + 64, second);
                    low[q] = _mm256_add_epi16(low[q], _mm256_add_epi16(x, y));
                    odd[q] = _mm256_add_epi16(
                        odd[q], _mm256_add_epi16(_mm256_srli_epi16(x, 8), _mm256_srli_epi16(y, 8)));
                });
            });
        }
        const std::uint32_t rows = rows_of_block(a, block);
        unroll<Q>([&](auto q) NEARFIELD_INLINE {
            const __m256i even = _mm256_sub_epi16(low[q], _mm256_slli_epi16(odd[q], 8));
            emit(a, q, block, rows, even, odd[q], n);
        });
    }
    static void emit(const ScanArgs& a, std::size_t q, std::size_t block, std::uint32_t rows,
                     __m256i even, __m256i odd, std::size_t* n) noexcept {
        if (a.threshold[q] > 0xffffu) return;
        const __m256i least = _mm256_set1_epi16(static_cast<short>(a.threshold[q]));
        const __m256i best = _mm256_max_epu16(even, odd);
        const __m256i none = _mm256_cmpeq_epi16(_mm256_max_epu16(best, least), best);
        if (_mm256_testz_si256(none, none) != 0) return;
        std::uint16_t sums[kScanRows];
        store_in_order(even, odd, sums);
        std::uint32_t mask = 0;
        for (std::uint32_t r = 0; r < kScanRows; ++r)
            mask |= static_cast<std::uint32_t>(sums[r] >= a.threshold[q]) << r;
        list_hits(a, q, block, mask & rows, sums, n);
    }
};

}  // namespace
}  // namespace nearfield::kernels
