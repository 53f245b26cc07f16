// Batch-1 scan of byte codes, 32 dims per step; Dot as in panel.h. The next rows are prefetched.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace nearfield::kernels {
namespace {

template <class Dot>
inline void rows_u8(const std::uint8_t* rows, std::size_t stride, std::size_t count,
                    const std::int8_t* q, std::size_t depth, std::int32_t init,
                    std::int32_t* out) noexcept {
    constexpr std::size_t kAhead = 4096;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* row = rows + i * stride;
        __m256i low = _mm256_setzero_si256();
        __m256i high = _mm256_setzero_si256();
        for (std::size_t k = 0; k < depth; k += 64) {
            _mm_prefetch(reinterpret_cast<const char*>(row + k + kAhead), _MM_HINT_T0);
            const auto* r = reinterpret_cast<const __m256i*>(row + k);
            const auto* p = reinterpret_cast<const __m256i*>(q + k);
            low = Dot::add(low, _mm256_loadu_si256(r), _mm256_loadu_si256(p));
            high = Dot::add(high, _mm256_loadu_si256(r + 1), _mm256_loadu_si256(p + 1));
        }
        const __m256i sum = _mm256_add_epi32(low, high);
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        four = _mm_hadd_epi32(four, four);
        four = _mm_hadd_epi32(four, four);
        out[i] = _mm_cvtsi128_si32(four) + init;
    }
}

}  // namespace
}  // namespace nearfield::kernels
