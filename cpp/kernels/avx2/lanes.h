// What generic/lanes.h and generic/lookup.h need of a register: eight lanes.
#pragma once

#include "kernels/avx2/vec.h"

namespace nearfield::kernels {
namespace {

struct Lane : F32 {
    using Index = __m256i;
    using Mask = __m256;
    static constexpr std::size_t kTileRows = 4;
    static constexpr std::size_t kTileGroups = 2;
    static constexpr std::size_t kProductRows = 6;
    static constexpr std::size_t kProductPanels = 1;
    static Reg add(Reg a, Reg b) noexcept { return _mm256_add_ps(a, b); }
    static Reg sub(Reg a, Reg b) noexcept { return _mm256_sub_ps(a, b); }
    static Reg fmadd(Reg a, Reg b, Reg c) noexcept { return _mm256_fmadd_ps(a, b, c); }
    static Reg max(Reg a, Reg b) noexcept { return _mm256_max_ps(a, b); }
    static Reg min(Reg a, Reg b) noexcept { return _mm256_min_ps(a, b); }
    static Reg div(Reg a, Reg b) noexcept { return _mm256_div_ps(a, b); }
    /// x times two to the power in the lowest bits of a shifted number, see generic/exponential.h.
    static Reg times_power(Reg x, Reg shifted) noexcept {
        const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
        return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), power));
    }
    static Reg select(Mask m, Reg yes, Reg no) noexcept { return _mm256_blendv_ps(no, yes, m); }
    static Mask less(Reg a, Reg b) noexcept { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
    static Index index(std::uint32_t i) noexcept { return _mm256_set1_epi32(static_cast<int>(i)); }
    static Index select(Mask m, Index yes, Index no) noexcept {
        return _mm256_castps_si256(
            _mm256_blendv_ps(_mm256_castsi256_ps(no), _mm256_castsi256_ps(yes), m));
    }
    static void store_index(std::uint32_t* p, Index i) noexcept {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), i);
    }
    static __m256i wide(const std::uint8_t* p) noexcept {
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    }
    static __m256i wide(const std::uint16_t* p) noexcept {
        return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static Reg load_byte(const std::uint8_t* p) noexcept { return _mm256_cvtepi32_ps(wide(p)); }
    static void store_byte(std::uint8_t* p, Reg x) noexcept {
        const __m128i words = pack16(_mm256_cvttps_epi32(x));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
    }
    template <class Code>
    static Reg look_up(const float* table, std::uint32_t step, const Code* code) noexcept {
        const __m256i iota = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i at = _mm256_mullo_epi32(iota, _mm256_set1_epi32(static_cast<int>(step)));
        return _mm256_i32gather_ps(table, _mm256_add_epi32(at, wide(code)), 4);
    }
};

}  // namespace
}  // namespace nearfield::kernels
