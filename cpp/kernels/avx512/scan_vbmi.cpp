// 4-bit codes against byte tables on CPUs with AVX512_VBMI: one permutation looks up 4 tables of 16.
//
// The 4 bytes of a row stay together: a byte's table number goes into bits 4 and 5 of its index, and
// vpdpbusd adds the 4 entries that were found to the row's 32-bit sum. Indices are shared by all queries.
// Cost: 28 instructions a chunk of 8 sub-quantizers and 64 rows, 16 more per further query. Source: own.
#include "kernels/avx512/table.h"
#include "kernels/generic/scan.h"

#include <immintrin.h>

namespace nearfield::kernels {
namespace {

struct ScanPermute {
    static constexpr std::size_t kBlocks = 2;
    static constexpr std::size_t kPrefetch = 4096;  // bytes ahead
    /// acc += the sum of 4 unsigned bytes per word; asm as in PanelU8::dot.
    static __m512i add_bytes(__m512i acc, __m512i bytes, __m512i ones) noexcept {
        __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(bytes), "v"(ones));
        return acc;
    }
    template <std::size_t Q, std::size_t B>
    static void blocks(const ScanArgs& a, std::size_t block, std::size_t* n) noexcept {
        constexpr std::size_t R = 2 * B;  // registers of 16 rows
        __m512i acc[Q * R];
        unroll<Q * R>([&](auto i) NEARFIELD_INLINE { acc[i] = _mm512_setzero_si512(); });
        const __m512i ones = _mm512_set1_epi8(1);
        const __m512i nibble = _mm512_set1_epi8(15);
        const __m512i table_number = _mm512_set1_epi32(0x30201000);
        constexpr int kAndOr = 0xea;  // (first & second) | third
        for (std::size_t c = 0; c < a.chunks; ++c) {
            __m512i low[R];
            __m512i high[R];
            unroll<R>([&](auto r) NEARFIELD_INLINE {
                const std::uint8_t* const p =
                    codes_of_block(a, block + r / 2) + c * kScanChunk + 64 * (r % 2);
                // One core does not fill its memory queue by plain loads alone.
                if (Q == 1) _mm_prefetch(reinterpret_cast<const char*>(p + kPrefetch), _MM_HINT_T0);
                const __m512i codes = _mm512_loadu_si512(p);
                low[r] = _mm512_ternarylogic_epi32(codes, nibble, table_number, kAndOr);
                high[r] = _mm512_ternarylogic_epi32(_mm512_srli_epi32(codes, 4), nibble,
                                                    table_number, kAndOr);
            });
            unroll<Q>([&](auto q) NEARFIELD_INLINE {
                const std::uint8_t* const table = tables_of_query(a, q) + c * kScanChunk;
                const __m512i even = _mm512_loadu_si512(table);
                const __m512i odd = _mm512_loadu_si512(table + 64);
                unroll<R>([&](auto r) NEARFIELD_INLINE {
                    __m512i& sum = acc[q * R + r];
                    sum = add_bytes(sum, _mm512_permutexvar_epi8(low[r], even), ones);
                    sum = add_bytes(sum, _mm512_permutexvar_epi8(high[r], odd), ones);
                });
            });
        }
        unroll<Q>([&](auto q) NEARFIELD_INLINE {
            __m512i most = acc[q * R];
            unroll<R>([&](auto r)
                          NEARFIELD_INLINE { most = _mm512_max_epu32(most, acc[q * R + r]); });
            const __m512i least = _mm512_set1_epi32(static_cast<int>(a.threshold[q]));
            if (_mm512_cmpge_epu32_mask(most, least) == 0) return;
            unroll<R>([&](auto r) NEARFIELD_INLINE { emit(a, q, block, r, acc[q * R + r], n); });
        });
    }
    static void emit(const ScanArgs& a, std::size_t q, std::size_t block, std::size_t part,
                     __m512i sums, std::size_t* n) noexcept {
        const __m512i least = _mm512_set1_epi32(static_cast<int>(a.threshold[q]));
        const auto rows =
            static_cast<__mmask16>(rows_of_block(a, block + part / 2) >> (16 * (part % 2)));
        const __mmask16 hits = _mm512_mask_cmpge_epu32_mask(rows, sums, least);
        if (hits == 0) return;
        const __m512i iota =
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const auto first = static_cast<int>(block * kScanRows + 16 * part);
        const __m512i numbers = _mm512_add_epi32(_mm512_set1_epi32(first), iota);
        const std::size_t at = q * a.capacity + n[q];
        _mm512_storeu_si512(a.sum + at, _mm512_maskz_compress_epi32(hits, sums));
        _mm512_storeu_si512(a.row + at, _mm512_maskz_compress_epi32(hits, numbers));
        n[q] += static_cast<std::size_t>(__builtin_popcount(hits));
    }
};

}  // namespace

void fill_avx512_vbmi(KernelTable& table) noexcept { table.scan_u4 = scan_u4<ScanPermute>; }

}  // namespace nearfield::kernels
