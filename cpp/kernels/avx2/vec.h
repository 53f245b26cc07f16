// AVX2 registers behind the small interfaces of generic/.
#pragma once

#include <immintrin.h>

#include "kernels/generic/element.h"

namespace nearfield::kernels {
namespace {

/// Four doubles.
struct F64 {
    using Reg = __m256d;
    static constexpr std::size_t kWidth = 4;
    static Reg zero() noexcept { return _mm256_setzero_pd(); }
    static Reg set1(double x) noexcept { return _mm256_set1_pd(x); }
    static Reg load(const double* p) noexcept { return _mm256_loadu_pd(p); }
    static Reg load(const float* p) noexcept { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
    static Reg load(const F16* p) noexcept {
        return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
    }
    static Reg load(const BF16* p) noexcept {
        const __m128i wide =
            _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
        return _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(wide, 16)));
    }
    static Reg load(const std::uint8_t* p) noexcept {
        std::int32_t word;
        __builtin_memcpy(&word, p, sizeof word);
        return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(word)));
    }
    static Reg load(const I8* p) noexcept {
        return sub(load(reinterpret_cast<const std::uint8_t*>(p)), set1(128.0));
    }
    static void store(double* p, Reg x) noexcept { _mm256_storeu_pd(p, x); }
    static void store(float* p, Reg x) noexcept { _mm_storeu_ps(p, _mm256_cvtpd_ps(x)); }
    static Reg add(Reg a, Reg b) noexcept { return _mm256_add_pd(a, b); }
    static Reg sub(Reg a, Reg b) noexcept { return _mm256_sub_pd(a, b); }
    static Reg mul(Reg a, Reg b) noexcept { return _mm256_mul_pd(a, b); }
    static Reg add_exact_product(Reg acc, Reg a, Reg b) noexcept {
        return _mm256_fmadd_pd(a, b, acc);
    }
};

/// Eight floats and their conversions.
struct F32 {
    static constexpr std::size_t kWidth = 8;
    using Reg = __m256;
    static Reg load(const float* p) noexcept { return _mm256_loadu_ps(p); }
    static void store(float* p, Reg x) noexcept { _mm256_storeu_ps(p, x); }
    static Reg load(const F16* p) noexcept {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static Reg load(const BF16* p) noexcept {
        const __m256i wide =
            _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
        return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
    }
    /// Low 16 bits of each of eight 32-bit lanes (values below 2^16).
    static __m128i pack16(__m256i x) noexcept {
        const __m256i packed = _mm256_packus_epi32(x, x);
        return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0xd8));
    }
    static void store(F16* p, Reg x) noexcept {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                         _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    static void store(BF16* p, Reg x) noexcept {
        const __m256i bits = _mm256_castps_si256(x);
        const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        const __m256i rounded =
            _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
        const __m256i high = _mm256_srli_epi32(rounded, 16);
        const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                         pack16(_mm256_blendv_epi8(high, quiet, nan)));
    }
    static Reg zero() noexcept { return _mm256_setzero_ps(); }
    static Reg set1(float x) noexcept { return _mm256_set1_ps(x); }
    /// n <= kWidth floats, zeros behind them; nothing else is read.
    static Reg load_first(const float* p, std::size_t n) noexcept {
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i wanted = _mm256_set1_epi32(static_cast<int>(n));
        return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(wanted, lane));
    }
    static Reg add(Reg a, Reg b) noexcept { return _mm256_add_ps(a, b); }
    static Reg sub(Reg a, Reg b) noexcept { return _mm256_sub_ps(a, b); }
    static float sum(Reg x) noexcept {
        __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        four = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
    }
    static Reg mul(Reg a, Reg b) noexcept { return _mm256_mul_ps(a, b); }
    static Reg madd(Reg acc, Reg a, Reg b) noexcept { return _mm256_fmadd_ps(a, b, acc); }
    static Reg max(Reg a, Reg b) noexcept { return _mm256_max_ps(a, b); }
    static Reg min(Reg a, Reg b) noexcept { return _mm256_min_ps(a, b); }
    static Reg select_above(Reg a, Reg b, Reg yes, Reg no) noexcept {
        return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
    }
    static Reg clamp(Reg x, Reg low, Reg high) noexcept {
        return _mm256_min_ps(_mm256_max_ps(x, low), high);
    }
    /// Hadamard transform of the eight lanes: strides 1, 2, 4.
    static Reg hadamard(Reg x) noexcept {
        x = butterfly<0xaa>(x, _mm256_permute_ps(x, 0xb1));
        x = butterfly<0xcc>(x, _mm256_permute_ps(x, 0x4e));
        return butterfly<0xf0>(x, _mm256_permute2f128_ps(x, x, 0x01));
    }
    template <int kUpper>
    static Reg butterfly(Reg x, Reg partner) noexcept {
        return _mm256_blend_ps(_mm256_add_ps(x, partner), _mm256_sub_ps(partner, x), kUpper);
    }
    /// Eight whole numbers from 0 to 255.
    static void store_bytes(std::uint8_t* p, Reg x) noexcept {
        const __m128i words = pack16(_mm256_cvtps_epi32(x));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
    }
    /// Running maximum of |x|; NaN counts as infinity.
    static Reg max_abs(Reg best, Reg x) noexcept {
        const __m256i magnitude =
            _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
        return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(best), magnitude));
    }
    /// Eight codes: clamp(round(x), -127, 127) + 128.
    static void store_codes(std::uint8_t* p, Reg x) noexcept {
        __m256i code = _mm256_cvtps_epi32(x);
        code = _mm256_min_epi32(_mm256_max_epi32(code, _mm256_set1_epi32(-127)),
                                _mm256_set1_epi32(127));
        const __m128i words = pack16(_mm256_add_epi32(code, _mm256_set1_epi32(128)));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
    }
};

}  // namespace
}  // namespace nearfield::kernels
