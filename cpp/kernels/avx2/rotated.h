// Scans over rotated codes on 256-bit registers; the sums of look-ups as in avx512/rotated.h.
#pragma once

#include <immintrin.h>

#include "kernels/generic/planes.h"

namespace nearfield::kernels {
namespace {

inline constexpr std::size_t kFlushBytes = 128;  // 248 * 128 < 2^16

/// 32 sums of one block in row order.
inline void sum_signs(const std::uint8_t* block, const std::uint8_t* table, std::size_t bytes,
                      std::uint32_t* sums) noexcept {
    const std::uint8_t* high_table = table + sign_table_bytes(bytes) / 2;
    const __m256i nibble = _mm256_set1_epi8(15);
    const auto load = [](const std::uint8_t* p) noexcept {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    };
    for (std::size_t start = 0; start < bytes; start += kFlushBytes) {
        const std::size_t stop = bytes - start < kFlushBytes ? bytes : start + kFlushBytes;
        __m256i whole = _mm256_setzero_si256();
        __m256i odd = _mm256_setzero_si256();
        for (std::size_t g = start; g < stop; ++g) {
            const __m256i codes = load(block + g * 32);
            const __m256i low =
                _mm256_shuffle_epi8(load(table + g * 32), _mm256_and_si256(codes, nibble));
            const __m256i high = _mm256_shuffle_epi8(
                load(high_table + g * 32), _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble));
            const __m256i both = _mm256_add_epi8(low, high);
            whole = _mm256_add_epi16(whole, both);
            odd = _mm256_add_epi16(odd, _mm256_srli_epi16(both, 8));
        }
        const __m256i even = _mm256_sub_epi16(whole, _mm256_slli_epi16(odd, 8));
        alignas(32) std::uint16_t evens[16];
        alignas(32) std::uint16_t odds[16];
        _mm256_store_si256(reinterpret_cast<__m256i*>(evens), even);
        _mm256_store_si256(reinterpret_cast<__m256i*>(odds), odd);
        for (std::size_t j = 0; j < 16; ++j) {
            sums[2 * j] += evens[j];
            sums[2 * j + 1] += odds[j];
        }
    }
}

inline std::size_t scan_signs(const SignScan& a, const SignHits& hits) noexcept {
    std::size_t n = 0;
    const __m256 threshold = _mm256_set1_ps(a.threshold);
    for (std::size_t first = 0; first < a.count; first += kSignRows) {
        alignas(32) std::uint32_t sums[kSignRows] = {};
        sum_signs(a.blocks + first * a.bytes, a.table, a.bytes, sums);
        for (std::size_t j = 0; j < kSignRows && first + j < a.count; j += 8) {
            const std::size_t row = first + j;
            const __m256 value =
                _mm256_cvtepi32_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(sums + j)));
            const __m256 inner = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(a.step), value),
                                               _mm256_set1_ps(a.offset));
            const __m256 estimate =
                _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(a.scale + row), inner),
                              _mm256_loadu_ps(a.bias + row));
            const __m256 upper = _mm256_add_ps(
                estimate, _mm256_mul_ps(_mm256_loadu_ps(a.error + row), _mm256_set1_ps(a.margin)));
            auto mask = static_cast<std::uint32_t>(
                _mm256_movemask_ps(_mm256_cmp_ps(upper, threshold, _CMP_NLT_UQ)));
            if (a.count - row < 8) mask &= (1u << (a.count - row)) - 1;
            if (mask == 0) continue;
            alignas(32) float bounds[8];
            _mm256_store_ps(bounds, upper);
            for (; mask != 0; mask &= mask - 1) {
                const auto lane = static_cast<std::size_t>(__builtin_ctz(mask));
                hits.upper[n] = bounds[lane];
                hits.row[n++] = static_cast<std::uint32_t>(row + lane);
            }
        }
    }
    return n;
}

inline void pack_planes(const std::uint8_t* code, std::size_t n, std::size_t bits,
                        std::uint8_t* planes) noexcept {
    std::size_t k = 0;
    for (; k + 32 <= n; k += 32) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(code + k));
        for (std::size_t b = 0; b < bits; ++b) {
            // The wanted bit becomes the top bit; bits from the neighbour stay below it.
            const __m256i top = _mm256_slli_epi16(bytes, static_cast<int>(8 - bits + b));
            const int word = _mm256_movemask_epi8(top);
            __builtin_memcpy(planes + b * (n / 8) + k / 8, &word, 4);
        }
    }
    pack_planes_from(code, k, n, bits, planes);
}

inline void unpack_planes(const std::uint8_t* planes, std::size_t n, std::size_t bits,
                          std::uint8_t* code) noexcept {
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                            2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i which = _mm256_set1_epi64x(static_cast<std::int64_t>(0x8040201008040201ULL));
    std::size_t k = 0;
    for (; k + 32 <= n; k += 32) {
        __m256i bytes = _mm256_setzero_si256();
        for (std::size_t b = 0; b < bits; ++b) {
            std::int32_t word;
            __builtin_memcpy(&word, planes + b * (n / 8) + k / 8, 4);
            const __m256i copies = _mm256_shuffle_epi8(_mm256_set1_epi32(word), spread);
            const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(copies, which), which);
            bytes = _mm256_sub_epi8(_mm256_add_epi8(bytes, bytes), set);
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(code + k), bytes);
    }
    unpack_planes_from(planes, k, n, bits, code);
}

/// Products of nibbles fit 16-bit pairs whatever the query bytes are.
inline void rows_u4(const std::uint8_t* rows, std::size_t stride, std::size_t count,
                    const std::int8_t* q, std::size_t depth, std::int32_t init,
                    std::int32_t* out) noexcept {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i ones = _mm256_set1_epi16(1);
    for (std::size_t i = 0; i < count; ++i) {
        __m256i acc = _mm256_setzero_si256();
        for (std::size_t k = 0; k < depth; k += 32) {
            const auto* row = reinterpret_cast<const __m256i*>(rows + i * stride + k);
            const auto* p = reinterpret_cast<const __m256i*>(q + k / 64 * 128 + k % 64);
            const __m256i bytes = _mm256_loadu_si256(row);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
            const __m256i pairs = _mm256_add_epi16(
                _mm256_maddubs_epi16(_mm256_and_si256(bytes, nibble), _mm256_loadu_si256(p)),
                _mm256_maddubs_epi16(high, _mm256_loadu_si256(p + 2)));
            acc = _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, ones));
        }
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(acc), _mm256_extracti128_si256(acc, 1));
        four = _mm_hadd_epi32(four, four);
        four = _mm_hadd_epi32(four, four);
        out[i] = _mm_cvtsi128_si32(four) + init;
    }
}

}  // namespace
}  // namespace nearfield::kernels
