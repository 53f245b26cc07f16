// Gathered rows by VNNI, 64 bytes an instruction.
#pragma once

#include <immintrin.h>

#include "kernels/avx512/sums.h"
#include "kernels/generic/gathered.h"

namespace nearfield::kernels {
namespace {

/// A load of 64 bytes that GCC does not repeat for every use: rows mostly lie across two cache lines.
inline __m512i load_once(const void* p) noexcept {
    __m512i bytes = _mm512_loadu_si512(p);
    __asm__("" : "+v"(bytes));
    return bytes;
}

inline __m512i add_dot(__m512i sum, __m512i row, __m512i query) noexcept {
    // GCC 12 copies the sums around its own intrinsic.
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(query));
    return sum;
}

struct GatherBytes {
    using Sum = __m512i;
    using Query = __m512i;
    static constexpr std::size_t kBytes = 64;
    static Sum zero() noexcept { return _mm512_setzero_si512(); }
    static Query load(const std::int8_t* q, std::size_t k) noexcept { return load_once(q + k); }
    static Sum add(Sum sum, const std::uint8_t* row, Query query) noexcept {
        return add_dot(sum, load_once(row), query);
    }
    template <std::size_t R>
    static void store(const Sum* sum, std::int32_t* out) noexcept {
        if constexpr (R == 1) {
            out[0] = _mm512_reduce_add_epi32(sum[0]);
        } else {
            const Sum four[4] = {sum[0], sum[1], R > 2 ? sum[2] : zero(), R > 3 ? sum[3] : zero()};
            _mm_mask_storeu_epi32(out, (1u << R) - 1, sum_four(four));
        }
    }
};

struct GatherNibbles : GatherBytes {
    struct Query {
        __m512i low, high;
    };
    static Query load(const std::int8_t* q, std::size_t k) noexcept {
        return {load_once(q + 2 * k), load_once(q + 2 * k + 64)};
    }
    static Sum add(Sum sum, const std::uint8_t* row, const Query& query) noexcept {
        const __m512i nibble = _mm512_set1_epi8(15);
        const __m512i bytes = load_once(row);
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble);
        sum = add_dot(sum, _mm512_and_si512(bytes, nibble), query.low);
        return add_dot(sum, high, query.high);
    }
};

}  // namespace
}  // namespace nearfield::kernels
