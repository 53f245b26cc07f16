// Scans over rotated codes on 512-bit registers: sign bits by table look-ups, 32 rows and 16 dims an
// instruction; nibbles by VNNI; bit planes by mask registers.
// Sums of the look-ups: bytes are kept in 16-bit lanes twice, whole and shifted down; taking the second
// from the first leaves the even bytes.
// Source: look-ups in registers: Andre et al., "Cache locality is not enough: high-performance nearest
// neighbor search with product quantization fast scan" (VLDB 2015); sign bits by them: Gao & Long (SIGMOD
// 2024), section 3.3.2.
#pragma once

#include <immintrin.h>

#include "kernels/avx512/sums.h"
#include "kernels/generic/planes.h"
#include "kernels/generic/unroll.h"

namespace nearfield::kernels {
namespace {

inline constexpr std::size_t kFlushBytes = 128;  // 248 * 128 < 2^16

inline constexpr std::size_t kSignsAhead = 4096;

struct SignSums {
    __m512i low = _mm512_setzero_si512();   // rows 0 .. 15 as 32-bit sums
    __m512i high = _mm512_setzero_si512();  // rows 16 .. 31
};

struct SignLanes {
    __m512i whole = _mm512_setzero_si512();
    __m512i odd = _mm512_setzero_si512();
    void add(__m512i bytes) noexcept {
        whole = _mm512_add_epi16(whole, bytes);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16(bytes, 8));
    }
};

/// Adds both halves (even and odd bytes g) and sorts 16-bit lanes into row order.
inline void flush(const SignLanes& a, SignSums& sums) noexcept {
    const __m512i odds = a.odd;
    const __m512i evens = _mm512_sub_epi16(a.whole, _mm512_slli_epi16(odds, 8));
    const __m256i even =
        _mm256_add_epi16(_mm512_castsi512_si256(evens), _mm512_extracti64x4_epi64(evens, 1));
    const __m256i odd =
        _mm256_add_epi16(_mm512_castsi512_si256(odds), _mm512_extracti64x4_epi64(odds, 1));
    const __m256i first = _mm256_unpacklo_epi16(even, odd);   // rows 0-7, 16-23
    const __m256i second = _mm256_unpackhi_epi16(even, odd);  // rows 8-15, 24-31
    sums.low = _mm512_add_epi32(
        sums.low, _mm512_cvtepu16_epi32(_mm256_permute2x128_si256(first, second, 0x20)));
    sums.high = _mm512_add_epi32(
        sums.high, _mm512_cvtepu16_epi32(_mm256_permute2x128_si256(first, second, 0x31)));
}

inline SignSums sum_signs(const std::uint8_t* block, const std::uint8_t* table,
                          std::size_t bytes) noexcept {
    const std::uint8_t* high_table = table + sign_table_bytes(bytes) / 2;
    const __m512i nibble = _mm512_set1_epi8(15);
    SignSums sums;
    for (std::size_t start = 0; start < bytes; start += kFlushBytes) {
        const std::size_t stop = bytes - start < kFlushBytes ? bytes : start + kFlushBytes;
        SignLanes lanes;
        const auto step = [&](std::size_t g, __m512i codes) NEARFIELD_INLINE {
            _mm_prefetch(reinterpret_cast<const char*>(block + g * 32 + kSignsAhead), _MM_HINT_T0);
            const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble);
            const __m512i low = _mm512_shuffle_epi8(_mm512_loadu_si512(table + g * 32),
                                                    _mm512_and_si512(codes, nibble));
            const __m512i high =
                _mm512_shuffle_epi8(_mm512_loadu_si512(high_table + g * 32), upper);
            lanes.add(_mm512_add_epi8(low, high));
        };
        std::size_t g = start;
        for (; g + 2 <= stop; g += 2) step(g, _mm512_loadu_si512(block + g * 32));
        if (g < stop) {  // the table of what is not there is zero
            step(g, _mm512_castsi256_si512(
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + g * 32))));
        }
        flush(lanes, sums);
    }
    return sums;
}

/// Sixteen rows from `row` on, of which `valid` exist.
inline std::size_t report_rows(const SignScan& a, std::size_t row, __mmask16 valid, __m512i sums,
                               const SignHits& hits, std::size_t n) noexcept {
    const __m512 inner = _mm512_add_ps(
        _mm512_mul_ps(_mm512_set1_ps(a.step), _mm512_cvtepi32_ps(sums)), _mm512_set1_ps(a.offset));
    const __m512 estimate = _mm512_add_ps(_mm512_mul_ps(_mm512_loadu_ps(a.scale + row), inner),
                                          _mm512_loadu_ps(a.bias + row));
    const __m512 upper = _mm512_add_ps(
        estimate, _mm512_mul_ps(_mm512_loadu_ps(a.error + row), _mm512_set1_ps(a.margin)));
    const __mmask16 hit =
        _mm512_mask_cmp_ps_mask(valid, upper, _mm512_set1_ps(a.threshold), _CMP_NLT_UQ);
    if (hit == 0) return n;
    const __m512i iota = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i rows = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(row)), iota);
    _mm512_storeu_ps(hits.upper + n, _mm512_maskz_compress_ps(hit, upper));
    _mm512_storeu_si512(hits.row + n, _mm512_maskz_compress_epi32(hit, rows));
    return n + static_cast<std::size_t>(__builtin_popcount(hit));
}

inline std::size_t scan_signs(const SignScan& a, const SignHits& hits) noexcept {
    std::size_t n = 0;
    for (std::size_t first = 0; first < a.count; first += kSignRows) {
        const SignSums sums = sum_signs(a.blocks + first * a.bytes, a.table, a.bytes);
        const std::size_t left = a.count - first;
        const std::uint32_t valid = left < kSignRows ? (1u << left) - 1 : ~0u;
        n = report_rows(a, first, static_cast<__mmask16>(valid), sums.low, hits, n);
        if (valid >> 16 != 0) {
            n = report_rows(a, first + 16, static_cast<__mmask16>(valid >> 16), sums.high, hits, n);
        }
    }
    return n;
}

inline void pack_planes(const std::uint8_t* code, std::size_t n, std::size_t bits,
                        std::uint8_t* planes) noexcept {
    for (std::size_t k = 0; k < n; k += 64) {
        const std::size_t left = n - k;
        const __mmask64 live = left < 64 ? (std::uint64_t{1} << left) - 1 : ~std::uint64_t{0};
        const __m512i bytes = _mm512_maskz_loadu_epi8(live, code + k);
        for (std::size_t b = 0; b < bits; ++b) {
            const __m512i bit = _mm512_set1_epi8(static_cast<char>(1u << (bits - 1 - b)));
            const std::uint64_t word = _mm512_test_epi8_mask(bytes, bit);
            __builtin_memcpy(planes + b * (n / 8) + k / 8, &word, left < 64 ? left / 8 : 8);
        }
    }
}

inline void unpack_planes(const std::uint8_t* planes, std::size_t n, std::size_t bits,
                          std::uint8_t* code) noexcept {
    for (std::size_t k = 0; k < n; k += 64) {
        const std::size_t left = n - k;
        const __mmask64 live = left < 64 ? (std::uint64_t{1} << left) - 1 : ~std::uint64_t{0};
        __m512i bytes = _mm512_setzero_si512();
        for (std::size_t b = 0; b < bits; ++b) {
            std::uint64_t word = 0;
            __builtin_memcpy(&word, planes + b * (n / 8) + k / 8, left < 64 ? left / 8 : 8);
            const __m512i bit = _mm512_set1_epi8(static_cast<char>(1u << (bits - 1 - b)));
            bytes = _mm512_mask_add_epi8(bytes, word, bytes, bit);
        }
        _mm512_mask_storeu_epi8(code + k, live, bytes);
    }
}

template <std::size_t R>
inline void nibble_rows(const std::uint8_t* rows, std::size_t stride, const std::int8_t* q,
                        std::size_t depth, __m512i* acc) noexcept {
    const __m512i nibble = _mm512_set1_epi8(15);
    for (std::size_t r = 0; r < R; ++r) acc[r] = _mm512_setzero_si512();
    for (std::size_t k = 0; k < depth; k += 64) {
        const __m512i first = _mm512_loadu_si512(q + 2 * k);
        const __m512i second = _mm512_loadu_si512(q + 2 * k + 64);
        for (std::size_t r = 0; r < R; ++r) {
            const __m512i bytes = _mm512_loadu_si512(rows + r * stride + k);
            const __m512i high = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble);
            acc[r] = _mm512_dpbusd_epi32(acc[r], _mm512_and_si512(bytes, nibble), first);
            acc[r] = _mm512_dpbusd_epi32(acc[r], high, second);
        }
    }
}

inline void rows_u4(const std::uint8_t* rows, std::size_t stride, std::size_t count,
                    const std::int8_t* q, std::size_t depth, std::int32_t init,
                    std::int32_t* out) noexcept {
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        __m512i acc[4];
        nibble_rows<4>(rows + i * stride, stride, q, depth, acc);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                         _mm_add_epi32(sum_four(acc), _mm_set1_epi32(init)));
    }
    for (; i < count; ++i) {
        __m512i acc;
        nibble_rows<1>(rows + i * stride, stride, q, depth, &acc);
        out[i] = _mm512_reduce_add_epi32(acc) + init;
    }
}

}  // namespace
}  // namespace nearfield::kernels
