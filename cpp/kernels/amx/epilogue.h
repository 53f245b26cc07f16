// What becomes of finished tiles: comparison with the thresholds, and the pairs that pass.
//
// Tiles are stored to a small buffer in L1, two at a time. compare() notes which of their rows hold a
// pair that may pass, without a branch, so that it can stand between the products of later tiles.
// When the buffer is full, drain() lists those rows, again without a branch, and visits them: the one
// branch that cannot be predicted, the end of that list, is paid once a buffer.
//
// Integer sums are compared the other way round: instead of turning each into an upper bound,
//     sum < (threshold - terms) / scale - init
// with 1 / scale known per row. This saves the loading of start values into accumulators, which costs as
// much as two tile products. Roundings go to the side of passing; drain() decides by the bound itself.
#pragma once

#include "kernels/amx/tiles.h"
#include "kernels/avx512/panel.h"

namespace nearfield::kernels {
namespace {

/// Per row and lane of one call: the inequality above, with room for its roundings.
template <std::size_t Terms>
class IntegerFloors {
public:
    explicit IntegerFloors(const PanelArgs& a) noexcept {
        float largest[2] = {};
        for (std::size_t i = 0; i < a.count; i += 16) {
            const __mmask16 rows = first_lanes(a.count - i);
            const __m512 one = _mm512_set1_ps(1.0f);
            const __m512 inverse = _mm512_div_ps(one, _mm512_mask_loadu_ps(one, rows, a.scale + i));
            _mm512_store_ps(inverse_ + i, inverse);
            for (std::size_t t = 0; t < Terms; ++t) {
                const __m512 term = _mm512_maskz_loadu_ps(rows, a.row_term[t] + i);
                _mm512_store_ps(row_term_[t] + i, _mm512_mul_ps(term, inverse));
                const float most = _mm512_reduce_max_ps(_mm512_abs_ps(term));
                largest[t] = most > largest[t] ? most : largest[t];
            }
        }
        for (std::size_t lane = 0; lane < a.groups * kGroup; lane += kGroup) {
            prepare_lanes(a, lane, largest);
        }
    }

    /// What 16 lanes from `lane` on compare with, in registers.
    struct Lanes {
        __m512 threshold;
        __m512 init;
        __m512 term[Terms == 0 ? 1 : Terms];
    };
    Lanes lanes(std::size_t lane) const noexcept {
        Lanes l;
        l.threshold = _mm512_load_ps(threshold_ + lane);
        l.init = _mm512_load_ps(init_ + lane);
        for (std::size_t t = 0; t < Terms; ++t) l.term[t] = _mm512_load_ps(lane_term_[t] + lane);
        return l;
    }

    /// Lanes whose sums in `row` may pass.
    __mmask16 passing(__m512 sums, std::size_t row, const Lanes& l) const noexcept {
        __m512 floor = _mm512_fmsub_ps(l.threshold, _mm512_set1_ps(inverse_[row]), l.init);
        for (std::size_t t = 0; t < Terms; ++t) {
            floor = _mm512_fnmadd_ps(l.term[t], _mm512_set1_ps(row_term_[t][row]), floor);
        }
        return _mm512_cmp_ps_mask(sums, floor, _CMP_NLT_UQ);
    }

private:
    static __mmask16 first_lanes(std::size_t n) noexcept {
        return n >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << n) - 1u);
    }

    void prepare_lanes(const PanelArgs& a, std::size_t lane, const float* largest) noexcept {
        const __m512 share = _mm512_set1_ps(0x1p-20f);
        const __m512 threshold = _mm512_loadu_ps(a.threshold + lane);
        __m512 size = _mm512_abs_ps(threshold);
        for (std::size_t t = 0; t < Terms; ++t) {
            const __m512 term = _mm512_loadu_ps(a.lane_term[t] + lane);
            _mm512_store_ps(lane_term_[t] + lane, term);
            size = _mm512_fmadd_ps(_mm512_abs_ps(term), _mm512_set1_ps(largest[t]), size);
        }
        // Lanes that want nothing have +infinity and keep it: where the mask is clear, |threshold| stays.
        const __m512 infinity = _mm512_set1_ps(__builtin_inff());
        const __mmask16 wanted = _mm512_cmp_ps_mask(threshold, infinity, _CMP_NEQ_UQ);
        _mm512_store_ps(threshold_ + lane, _mm512_mask_fnmadd_ps(size, wanted, share, threshold));
        const __m512 init =
            _mm512_cvtepi32_ps(_mm512_loadu_si512(static_cast<const std::int32_t*>(a.init) + lane));
        // Twice what a sum can be: its own size and that of sum + init.
        const __m512 most = _mm512_set1_ps(static_cast<float>(a.depth) * (2.0f * 255.0f * 127.0f));
        _mm512_store_ps(init_ + lane,
                        _mm512_fmadd_ps(share, _mm512_add_ps(_mm512_abs_ps(init), most), init));
    }

    alignas(64) float inverse_[kMaxPanelRows];
    alignas(64) float row_term_[Terms == 0 ? 1 : Terms][kMaxPanelRows];
    alignas(64) float threshold_[kPanelLanes];
    alignas(64) float lane_term_[Terms == 0 ? 1 : Terms][kPanelLanes];
    alignas(64) float init_[kPanelLanes];
};

/// The bound as it is, for sums that are floats already.
template <std::size_t Terms>
__m512 bound(const PanelArgs& a, __m512 started, std::size_t row, std::size_t lane) noexcept {
    __m512 value = _mm512_mul_ps(started, _mm512_set1_ps(a.scale[row]));
    for (std::size_t t = 0; t < Terms; ++t) {
        value = _mm512_fmadd_ps(_mm512_loadu_ps(a.lane_term[t] + lane),
                                _mm512_set1_ps(a.row_term[t][row]), value);
    }
    return value;
}

template <class T, std::size_t Terms>
class Epilogue {
public:
    /// capacity: pairs of tiles to gather before their hits are visited.
    Epilogue(const PanelArgs& args, const PanelHits& hits, std::size_t capacity) noexcept
        : a_(args), hits_(hits), floors_(args), capacity_(capacity) {}

    /// Where to store two tiles: rows from `row` against `group`, and the same rows against the next
    /// group or the next rows against the same one.
    std::uint8_t* take(std::size_t row, std::size_t group, bool next_group) noexcept {
        if (stored_ == 2 * capacity_) drain();
        std::uint8_t* to = tiles_ + stored_ * kTileBytes;
        places_[stored_++] = {static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(group)};
        places_[stored_++] = {static_cast<std::uint32_t>(next_group ? row : row + kTileRows),
                              static_cast<std::uint32_t>(next_group ? group + 1 : group)};
        return to;
    }

    /// Compares up to n of the tiles that wait for it.
    void run(std::size_t n) noexcept {
        for (; n != 0 && compared_ < stored_; --n) compare(compared_++);
    }

    void drain() noexcept {
        run(stored_);
        const std::size_t n = list_rows();
        for (std::size_t i = 0; i < n; ++i) {
            const Place place = places_[listed_[i] / kTileRows];
            visit(tiles_ + listed_[i] * 64, place.row + listed_[i] % kTileRows, place.group);
        }
        stored_ = compared_ = 0;
    }

    /// The rows of one short tile, one at a time.
    void short_tile(std::size_t rows, std::size_t row, std::size_t group,
                    const std::uint8_t* tile) noexcept {
        for (std::size_t i = 0; i < rows; ++i) visit(tile + i * 64, row + i, group);
    }

    std::size_t hits() const noexcept { return n_; }

private:
    static constexpr std::size_t kMaxTiles = 16;
    struct Place {
        std::uint32_t row;
        std::uint32_t group;
    };
    struct Nothing {
        explicit Nothing(const PanelArgs&) noexcept {}
    };
    template <bool First, class A, class B>
    struct Choose {
        using type = A;
    };
    template <class A, class B>
    struct Choose<false, A, B> {
        using type = B;
    };

    __m512 upper(const std::uint8_t* raw, std::size_t row, std::size_t lane) const noexcept {
        const auto* init = static_cast<const std::uint8_t*>(a_.init) + lane * 4;
        return bound<Terms>(a_, T::started(raw, init), row, lane);
    }

    void compare(std::size_t tile) noexcept {
        const std::size_t lane = places_[tile].group * kGroup;
        const std::size_t row = places_[tile].row;
        const std::uint8_t* raw = tiles_ + tile * kTileBytes;
        __mmask16* masks = masks_ + tile * kTileRows;
        if constexpr (T::kIntegers) {
            const auto lanes = floors_.lanes(lane);
#pragma GCC unroll 16
            for (std::size_t i = 0; i < kTileRows; ++i) {
                masks[i] = floors_.passing(T::to_float(raw + i * 64), row + i, lanes);
            }
        } else {
            const __m512 threshold = _mm512_loadu_ps(a_.threshold + lane);
#pragma GCC unroll 16
            for (std::size_t i = 0; i < kTileRows; ++i) {
                const __m512 value = upper(raw + i * 64, row + i, lane);
                masks[i] = _mm512_cmp_ps_mask(value, threshold, _CMP_NLT_UQ);
            }
        }
    }

    /// Numbers of the rows of stored tiles with a mask that is not zero.
    std::size_t list_rows() noexcept {
        std::size_t n = 0;
        __m512i number = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        for (std::size_t tile = 0; tile < stored_; ++tile) {
            const __m256i masks =
                _mm256_load_si256(reinterpret_cast<const __m256i*>(masks_ + tile * kTileRows));
            const __mmask16 rows = _mm256_test_epi16_mask(masks, masks);
            _mm512_storeu_si512(listed_ + n, _mm512_maskz_compress_epi32(rows, number));
            n += static_cast<std::size_t>(__builtin_popcount(rows));
            number = _mm512_add_epi32(number, _mm512_set1_epi32(kTileRows));
        }
        return n;
    }

    void visit(const std::uint8_t* raw, std::size_t row, std::size_t group) noexcept {
        const std::size_t lane = group * kGroup;
        const __m512 value = upper(raw, row, lane);
        const __mmask16 mask =
            _mm512_cmp_ps_mask(value, _mm512_loadu_ps(a_.threshold + lane), _CMP_NLT_UQ);
        n_ = Epilogue512::emit(mask, value, pair_of(row, group), hits_, n_);
    }

    const PanelArgs& a_;
    const PanelHits& hits_;
    typename Choose<T::kIntegers, IntegerFloors<Terms>, Nothing>::type floors_;
    std::size_t capacity_;
    std::size_t n_ = 0;
    std::size_t stored_ = 0;    // tiles in the buffer
    std::size_t compared_ = 0;  // of them, with masks
    Place places_[kMaxTiles];
    alignas(64) __mmask16 masks_[kMaxTiles * kTileRows];
    alignas(64) std::uint32_t listed_[kMaxTiles * kTileRows + 16];
    alignas(64) std::uint8_t tiles_[kMaxTiles * kTileBytes];
};

}  // namespace
}  // namespace nearfield::kernels
