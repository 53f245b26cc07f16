// What generic/lanes.h and generic/lookup.h need of a register: sixteen lanes.
#pragma once

#include "kernels/avx512/vec.h"

namespace nearfield::kernels {
namespace {

struct Lane : F32 {
    using Index = __m512i;
    using Mask = __mmask16;
    static constexpr std::size_t kTileRows = 4;
    static constexpr std::size_t kTileGroups = 4;
    static constexpr std::size_t kProductRows = 6;
    static constexpr std::size_t kProductPanels = 4;
    static Reg add(Reg a, Reg b) noexcept { return _mm512_add_ps(a, b); }
    static Reg sub(Reg a, Reg b) noexcept { return _mm512_sub_ps(a, b); }
    static Reg fmadd(Reg a, Reg b, Reg c) noexcept { return _mm512_fmadd_ps(a, b, c); }
    static Reg max(Reg a, Reg b) noexcept { return _mm512_max_ps(a, b); }
    static Reg min(Reg a, Reg b) noexcept { return _mm512_min_ps(a, b); }
    static Reg div(Reg a, Reg b) noexcept { return _mm512_div_ps(a, b); }
    /// x times two to the power in the lowest bits of a shifted number, see generic/exponential.h.
    static Reg times_power(Reg x, Reg shifted) noexcept {
        const __m512i power = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
        return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), power));
    }
    static Reg select(Mask m, Reg yes, Reg no) noexcept { return _mm512_mask_mov_ps(no, m, yes); }
    static Mask less(Reg a, Reg b) noexcept { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
    static Index index(std::uint32_t i) noexcept { return _mm512_set1_epi32(static_cast<int>(i)); }
    static Index select(Mask m, Index yes, Index no) noexcept {
        return _mm512_mask_mov_epi32(no, m, yes);
    }
    static void store_index(std::uint32_t* p, Index i) noexcept { _mm512_storeu_si512(p, i); }
    static __m512i wide(const std::uint8_t* p) noexcept {
        return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static __m512i wide(const std::uint16_t* p) noexcept {
        return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static Reg load_byte(const std::uint8_t* p) noexcept { return _mm512_cvtepi32_ps(wide(p)); }
    static void store_byte(std::uint8_t* p, Reg x) noexcept {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                         _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(x)));
    }
    template <class Code>
    static Reg look_up(const float* table, std::uint32_t step, const Code* code) noexcept {
        const __m512i iota =
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i at = _mm512_mullo_epi32(iota, _mm512_set1_epi32(static_cast<int>(step)));
        return _mm512_i32gather_ps(_mm512_add_epi32(at, wide(code)), table, 4);
    }
};

}  // namespace
}  // namespace nearfield::kernels
