// Batch-1 scan of byte codes: 64 dims per instruction, rows streamed in order.
// Four rows share the horizontal sum; the next rows are prefetched, because one core does not fill
// its memory queue by plain loads alone.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/avx512/sums.h"

namespace nearfield::kernels {
namespace {

inline constexpr std::size_t kPrefetchBytes = 4096;

template <std::size_t R>
inline void rows_block(const std::uint8_t* rows, std::size_t stride, const std::int8_t* q,
                       std::size_t depth, __m512i* acc) noexcept {
    for (std::size_t r = 0; r < R; ++r) acc[r] = _mm512_setzero_si512();
    for (std::size_t k = 0; k < depth; k += 64) {
        const __m512i query = _mm512_loadu_si512(q + k);
        for (std::size_t r = 0; r < R; ++r) {
            const std::uint8_t* p = rows + r * stride + k;
            _mm_prefetch(reinterpret_cast<const char*>(p + kPrefetchBytes), _MM_HINT_T0);
            acc[r] = _mm512_dpbusd_epi32(acc[r], _mm512_loadu_si512(p), query);
        }
    }
}

inline void rows_u8(const std::uint8_t* rows, std::size_t stride, std::size_t count,
                    const std::int8_t* q, std::size_t depth, std::int32_t init,
                    std::int32_t* out) noexcept {
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        __m512i acc[4];
        rows_block<4>(rows + i * stride, stride, q, depth, acc);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                         _mm_add_epi32(sum_four(acc), _mm_set1_epi32(init)));
    }
    for (; i < count; ++i) {
        __m512i acc;
        rows_block<1>(rows + i * stride, stride, q, depth, &acc);
        out[i] = _mm512_reduce_add_epi32(acc) + init;
    }
}

}  // namespace
}  // namespace nearfield::kernels
