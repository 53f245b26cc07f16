// AVX-512 registers behind the small interfaces of generic/.
#pragma once

#include <immintrin.h>

#include "kernels/generic/element.h"

namespace nearfield::kernels {
namespace {

/// Eight doubles.
struct F64 {
    using Reg = __m512d;
    static constexpr std::size_t kWidth = 8;
    static Reg zero() noexcept { return _mm512_setzero_pd(); }
    static Reg set1(double x) noexcept { return _mm512_set1_pd(x); }
    static Reg load(const double* p) noexcept { return _mm512_loadu_pd(p); }
    static Reg load(const float* p) noexcept { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
    static Reg load(const F16* p) noexcept {
        return _mm512_cvtps_pd(
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    }
    static Reg load(const BF16* p) noexcept {
        const __m256i wide =
            _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
        return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
    }
    static Reg load(const I8* p) noexcept {
        return sub(load(reinterpret_cast<const std::uint8_t*>(p)), set1(128.0));
    }
    static Reg load(const std::uint8_t* p) noexcept {
        return _mm512_cvtepi32_pd(
            _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
    }
    static void store(double* p, Reg x) noexcept { _mm512_storeu_pd(p, x); }
    static void store(float* p, Reg x) noexcept { _mm256_storeu_ps(p, _mm512_cvtpd_ps(x)); }
    static Reg add(Reg a, Reg b) noexcept { return _mm512_add_pd(a, b); }
    static Reg sub(Reg a, Reg b) noexcept { return _mm512_sub_pd(a, b); }
    static Reg mul(Reg a, Reg b) noexcept { return _mm512_mul_pd(a, b); }
    static Reg add_exact_product(Reg acc, Reg a, Reg b) noexcept {
        return _mm512_fmadd_pd(a, b, acc);
    }
};

/// Sixteen floats and their conversions.
struct F32 {
    static constexpr std::size_t kWidth = 16;
    using Reg = __m512;
    static Reg load(const float* p) noexcept { return _mm512_loadu_ps(p); }
    static void store(float* p, Reg x) noexcept { _mm512_storeu_ps(p, x); }
    static Reg load(const F16* p) noexcept {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static Reg load(const BF16* p) noexcept {
        const __m512i wide =
            _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
        return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
    }
    static void store(F16* p, Reg x) noexcept {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                            _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    static void store(BF16* p, Reg x) noexcept {
        const __m512i bits = _mm512_castps_si512(x);
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        const __m512i rounded =
            _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        const __m512i high = _mm512_srli_epi32(rounded, 16);
        const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                            _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(high, nan, quiet)));
    }
    static Reg zero() noexcept { return _mm512_setzero_ps(); }
    static Reg set1(float x) noexcept { return _mm512_set1_ps(x); }
    /// n <= kWidth floats, zeros behind them; nothing else is read.
    static Reg load_first(const float* p, std::size_t n) noexcept {
        return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p);
    }
    static Reg add(Reg a, Reg b) noexcept { return _mm512_add_ps(a, b); }
    static Reg sub(Reg a, Reg b) noexcept { return _mm512_sub_ps(a, b); }
    static float sum(Reg x) noexcept { return _mm512_reduce_add_ps(x); }
    static Reg mul(Reg a, Reg b) noexcept { return _mm512_mul_ps(a, b); }
    static Reg madd(Reg acc, Reg a, Reg b) noexcept { return _mm512_fmadd_ps(a, b, acc); }
    static Reg max(Reg a, Reg b) noexcept { return _mm512_max_ps(a, b); }
    static Reg min(Reg a, Reg b) noexcept { return _mm512_min_ps(a, b); }
    static Reg select_above(Reg a, Reg b, Reg yes, Reg no) noexcept {
        return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), yes);
    }
    static Reg clamp(Reg x, Reg low, Reg high) noexcept {
        return _mm512_min_ps(_mm512_max_ps(x, low), high);
    }
    /// Hadamard transform of the sixteen lanes: strides 1, 2, 4, 8.
    static Reg hadamard(Reg x) noexcept {
        x = butterfly(x, _mm512_permute_ps(x, 0xb1), 0xaaaa);
        x = butterfly(x, _mm512_permute_ps(x, 0x4e), 0xcccc);
        x = butterfly(x, _mm512_shuffle_f32x4(x, x, 0xb1), 0xf0f0);
        return butterfly(x, _mm512_shuffle_f32x4(x, x, 0x4e), 0xff00);
    }
    static Reg butterfly(Reg x, Reg partner, __mmask16 upper) noexcept {
        return _mm512_mask_sub_ps(_mm512_add_ps(x, partner), upper, partner, x);
    }
    /// Sixteen whole numbers from 0 to 255.
    static void store_bytes(std::uint8_t* p, Reg x) noexcept {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                         _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
    }
    /// Running maximum of |x|; NaN counts as infinity.
    static Reg max_abs(Reg best, Reg x) noexcept {
        const __m512i magnitude =
            _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
        return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(best), magnitude));
    }
    /// Sixteen codes: clamp(round(x), -127, 127) + 128.
    static void store_codes(std::uint8_t* p, Reg x) noexcept {
        __m512i code = _mm512_cvtps_epi32(x);
        code = _mm512_min_epi32(_mm512_max_epi32(code, _mm512_set1_epi32(-127)),
                                _mm512_set1_epi32(127));
        code = _mm512_add_epi32(code, _mm512_set1_epi32(128));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(code));
    }
};

}  // namespace
}  // namespace nearfield::kernels
