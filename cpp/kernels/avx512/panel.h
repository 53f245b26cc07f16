// AVX-512 panel policies: one zmm holds 16 lanes.
#pragma once

#include <immintrin.h>

#include "kernels/generic/panel.h"

namespace nearfield::kernels {
namespace {

/// The epilogue shared by all 512-bit panels: bound, compare.
struct Epilogue512 {
    using Upper = __m512;
    static std::size_t emit(std::uint32_t mask, Upper upper, std::uint32_t pair,
                            const PanelHits& hits, std::size_t n) noexcept {
        const auto lanes = static_cast<__mmask16>(mask);
        const __m512i iota =
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i pairs = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(pair)), iota);
        _mm512_storeu_ps(hits.upper + n, _mm512_maskz_compress_ps(lanes, upper));
        _mm512_storeu_si512(hits.pair + n, _mm512_maskz_compress_epi32(lanes, pairs));
        return n + static_cast<std::size_t>(__builtin_popcount(mask));
    }
    static std::uint32_t compare(const PanelArgs& a, __m512 raw, std::size_t row, std::size_t group,
                                 Upper& upper) noexcept {
        __m512 value = _mm512_mul_ps(raw, _mm512_set1_ps(a.scale[row]));
        for (std::size_t t = 0; t < a.terms; ++t) {
            value = _mm512_fmadd_ps(_mm512_loadu_ps(a.lane_term[t] + group * kGroup),
                                    _mm512_set1_ps(a.row_term[t][row]), value);
        }
        upper = value;
        return _mm512_cmp_ps_mask(value, _mm512_loadu_ps(a.threshold + group * kGroup),
                                  _CMP_NLT_UQ);
    }
};

/// uint8 rows x int8 queries through VNNI.
struct PanelU8 : Epilogue512 {
    using Acc = __m512i;
    using Query = __m512i;
    using Word = __m512i;
    static constexpr std::size_t kAccumulators = 24;
    static Acc load_init(const void* init, std::size_t group) noexcept {
        return _mm512_loadu_si512(static_cast<const std::int32_t*>(init) + group * kGroup);
    }
    static Query load_query(const std::uint8_t* p) noexcept { return _mm512_loadu_si512(p); }
    static Word broadcast(const std::uint8_t* p) noexcept {
        std::int32_t word;
        __builtin_memcpy(&word, p, sizeof word);
        return _mm512_set1_epi32(word);
    }
    static Acc dot(Acc acc, Word row, Query query) noexcept {
        // GCC 12 copies and spills the accumulators around its own intrinsic: 1.7 times slower.
        __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(row), "v"(query));
        return acc;
    }
    static std::uint32_t upper(const PanelArgs& a, Acc acc, std::size_t row, std::size_t group,
                               Upper& out) noexcept {
        return compare(a, _mm512_cvtepi32_ps(acc), row, group, out);
    }
};

/// bfloat16 rows and queries on any AVX-512: both halves widened to float32.
struct PanelBF16 : Epilogue512 {
    using Acc = __m512;
    struct Query {
        __m512 even, odd;
    };
    using Word = Query;
    static constexpr std::size_t kAccumulators = 16;
    static Acc load_init(const void* init, std::size_t group) noexcept {
        return _mm512_loadu_ps(static_cast<const float*>(init) + group * kGroup);
    }
    static Query split(__m512i pairs) noexcept {
        const __m512i high = _mm512_set1_epi32(static_cast<std::int32_t>(0xffff0000u));
        return {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)),
                _mm512_castsi512_ps(_mm512_and_si512(pairs, high))};
    }
    static Query load_query(const std::uint8_t* p) noexcept { return split(_mm512_loadu_si512(p)); }
    static Word broadcast(const std::uint8_t* p) noexcept { return split(PanelU8::broadcast(p)); }
    static Acc dot(Acc acc, const Word& row, const Query& query) noexcept {
        return _mm512_fmadd_ps(row.odd, query.odd, _mm512_fmadd_ps(row.even, query.even, acc));
    }
    static std::uint32_t upper(const PanelArgs& a, Acc acc, std::size_t row, std::size_t group,
                               Upper& out) noexcept {
        return compare(a, acc, row, group, out);
    }
};

}  // namespace
}  // namespace nearfield::kernels
