// AVX2 panel policies: two ymm hold 16 lanes.
#pragma once

#include <immintrin.h>

#include "kernels/generic/panel.h"

namespace nearfield::kernels {
namespace {

template <class T>
struct Pair {
    T low, high;
};

/// The epilogue shared by all 256-bit panels: bound, compare.
struct Epilogue256 {
    using Upper = Pair<__m256>;
    static std::size_t emit(std::uint32_t mask, const Upper& upper, std::uint32_t pair,
                            const PanelHits& hits, std::size_t n) noexcept {
        alignas(32) float values[kGroup];
        _mm256_store_ps(values, upper.low);
        _mm256_store_ps(values + 8, upper.high);
        return emit_scalar(mask, values, pair, hits, n);
    }
    static __m256 bound(const PanelArgs& a, __m256 raw, std::size_t row,
                        std::size_t lane) noexcept {
        __m256 value = _mm256_mul_ps(raw, _mm256_set1_ps(a.scale[row]));
        for (std::size_t t = 0; t < a.terms; ++t) {
            value = _mm256_fmadd_ps(_mm256_loadu_ps(a.lane_term[t] + lane),
                                    _mm256_set1_ps(a.row_term[t][row]), value);
        }
        return value;
    }
    static std::uint32_t passes(const PanelArgs& a, __m256 value, std::size_t lane) noexcept {
        return static_cast<std::uint32_t>(_mm256_movemask_ps(
            _mm256_cmp_ps(value, _mm256_loadu_ps(a.threshold + lane), _CMP_NLT_UQ)));
    }
    static std::uint32_t compare(const PanelArgs& a, __m256 low, __m256 high, std::size_t row,
                                 std::size_t group, Upper& upper) noexcept {
        const std::size_t lane = group * kGroup;
        upper = {bound(a, low, row, lane), bound(a, high, row, lane + 8)};
        return passes(a, upper.low, lane) | (passes(a, upper.high, lane + 8) << 8);
    }
};

/// What the byte panels of plain AVX2 and AVX-VNNI share; Dot is one multiply-add of 4 bytes a lane.
template <class Dot>
struct PanelBytes : Epilogue256 {
    using Acc = Pair<__m256i>;
    using Query = Pair<__m256i>;
    using Word = __m256i;
    static constexpr std::size_t kAccumulators = 6;
    static __m256i load(const void* p) noexcept {
        return _mm256_loadu_si256(static_cast<const __m256i*>(p));
    }
    static Acc load_init(const void* init, std::size_t group) noexcept {
        const std::int32_t* p = static_cast<const std::int32_t*>(init) + group * kGroup;
        return {load(p), load(p + 8)};
    }
    static Query load_query(const std::uint8_t* p) noexcept { return {load(p), load(p + 32)}; }
    static Word broadcast(const std::uint8_t* p) noexcept {
        std::int32_t word;
        __builtin_memcpy(&word, p, sizeof word);
        return _mm256_set1_epi32(word);
    }
    static Acc dot(const Acc& acc, Word row, const Query& query) noexcept {
        return {Dot::add(acc.low, row, query.low), Dot::add(acc.high, row, query.high)};
    }
    static std::uint32_t upper(const PanelArgs& a, const Acc& acc, std::size_t row,
                               std::size_t group, Upper& out) noexcept {
        return compare(a, _mm256_cvtepi32_ps(acc.low), _mm256_cvtepi32_ps(acc.high), row, group,
                       out);
    }
};

/// Pairs of products are summed in 16 bits: 255 * 63 * 2 fits, hence query_limit 63 on this level.
struct DotMaddubs {
    static __m256i add(__m256i acc, __m256i row, __m256i query) noexcept {
        const __m256i pairs = _mm256_maddubs_epi16(row, query);
        return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
};

/// bfloat16 rows and queries, both halves widened to float32.
struct PanelBF16 : Epilogue256 {
    using Acc = Pair<__m256>;
    struct Query {
        Pair<__m256> even, odd;
    };
    using Word = Pair<__m256>;  // low: even elements, high: odd elements
    static constexpr std::size_t kAccumulators = 4;
    static Pair<__m256> split(__m256i pairs) noexcept {
        const __m256i high = _mm256_set1_epi32(static_cast<std::int32_t>(0xffff0000u));
        return {_mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)),
                _mm256_castsi256_ps(_mm256_and_si256(pairs, high))};
    }
    static Acc load_init(const void* init, std::size_t group) noexcept {
        const float* p = static_cast<const float*>(init) + group * kGroup;
        return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
    }
    static Query load_query(const std::uint8_t* p) noexcept {
        const Pair<__m256> low = split(PanelBytes<DotMaddubs>::load(p));
        const Pair<__m256> high = split(PanelBytes<DotMaddubs>::load(p + 32));
        return {{low.low, high.low}, {low.high, high.high}};
    }
    static Word broadcast(const std::uint8_t* p) noexcept {
        return split(PanelBytes<DotMaddubs>::broadcast(p));
    }
    static Acc dot(const Acc& acc, const Word& row, const Query& query) noexcept {
        const __m256 low = _mm256_fmadd_ps(row.low, query.even.low, acc.low);
        const __m256 high = _mm256_fmadd_ps(row.low, query.even.high, acc.high);
        return {_mm256_fmadd_ps(row.high, query.odd.low, low),
                _mm256_fmadd_ps(row.high, query.odd.high, high)};
    }
    static std::uint32_t upper(const PanelArgs& a, const Acc& acc, std::size_t row,
                               std::size_t group, Upper& out) noexcept {
        return compare(a, acc.low, acc.high, row, group, out);
    }
};

}  // namespace
}  // namespace nearfield::kernels
