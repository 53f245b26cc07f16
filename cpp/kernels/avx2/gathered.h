// Gathered rows on 256-bit registers, with AVX-VNNI or without.
#pragma once

#include <immintrin.h>

#include "kernels/generic/gathered.h"

namespace nearfield::kernels {
namespace {

/// What all of them share: eight 32-bit sums a row.
struct GatherLanes {
    using Sum = __m256i;
    struct Query {
        __m256i first, second;
    };
    static Sum zero() noexcept { return _mm256_setzero_si256(); }
    static __m256i load_once(const void* p) noexcept {
        __m256i bytes = _mm256_loadu_si256(static_cast<const __m256i*>(p));
        __asm__("" : "+x"(bytes));  // GCC repeats the load for every use
        return bytes;
    }
    template <std::size_t R>
    static void store(const Sum* sum, std::int32_t* out) noexcept {
        if constexpr (R == 1) {
            __m128i four = halves(sum[0]);
            four = _mm_hadd_epi32(four, four);
            out[0] = _mm_cvtsi128_si32(_mm_hadd_epi32(four, four));
        } else {
            const __m256i ab = _mm256_hadd_epi32(sum[0], sum[1]);
            const __m256i cd = R == 2 ? ab : _mm256_hadd_epi32(sum[2], sum[R - 1]);
            const __m128i four = halves(_mm256_hadd_epi32(ab, cd));
            if constexpr (R == 4) {
                _mm_storeu_si128(reinterpret_cast<__m128i*>(out), four);
            } else {
                _mm_storel_epi64(reinterpret_cast<__m128i*>(out), four);
                if constexpr (R == 3) out[2] = _mm_extract_epi32(four, 2);
            }
        }
    }

private:
    static __m128i halves(__m256i x) noexcept {
        return _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    }
};

/// Bytes at even and at odd places as 16-bit numbers, whose products cannot overflow.
struct GatherBytes : GatherLanes {
    static constexpr std::size_t kBytes = 32;
    static Query load(const std::int8_t* q, std::size_t k) noexcept {
        const __m256i bytes = load_once(q + k);
        return {_mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8)};
    }
    static Sum add(Sum sum, const std::uint8_t* row, const Query& query) noexcept {
        const __m256i bytes = load_once(row);
        const __m256i even = _mm256_and_si256(bytes, _mm256_set1_epi16(255));
        const __m256i odd = _mm256_srli_epi16(bytes, 8);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even, query.first));
        return _mm256_add_epi32(sum, _mm256_madd_epi16(odd, query.second));
    }
};

/// Four products of nibbles fit into 16 bits whatever the query bytes are.
struct GatherNibbles : GatherLanes {
    static constexpr std::size_t kBytes = 32;
    static Query load(const std::int8_t* q, std::size_t k) noexcept {
        const std::int8_t* const p = q + k / 64 * 128 + k % 64;
        return {load_once(p), load_once(p + 64)};
    }
    static __m256i low(__m256i bytes) noexcept {
        return _mm256_and_si256(bytes, _mm256_set1_epi8(15));
    }
    static __m256i high(__m256i bytes) noexcept { return low(_mm256_srli_epi16(bytes, 4)); }
    static Sum add(Sum sum, const std::uint8_t* row, const Query& query) noexcept {
        const __m256i bytes = load_once(row);
        const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low(bytes), query.first),
                                               _mm256_maddubs_epi16(high(bytes), query.second));
        return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
};

/// Dot: four products of bytes a lane, added in 32 bits.
template <class Dot>
struct GatherBytesDot : GatherLanes {
    static constexpr std::size_t kBytes = 64;
    static Query load(const std::int8_t* q, std::size_t k) noexcept {
        return {load_once(q + k), load_once(q + k + 32)};
    }
    static Sum add(Sum sum, const std::uint8_t* row, const Query& query) noexcept {
        sum = Dot::add(sum, load_once(row), query.first);
        return Dot::add(sum, load_once(row + 32), query.second);
    }
};

template <class Dot>
struct GatherNibblesDot : GatherNibbles {
    static Sum add(Sum sum, const std::uint8_t* row, const Query& query) noexcept {
        const __m256i bytes = load_once(row);
        sum = Dot::add(sum, low(bytes), query.first);
        return Dot::add(sum, high(bytes), query.second);
    }
};

}  // namespace
}  // namespace nearfield::kernels
