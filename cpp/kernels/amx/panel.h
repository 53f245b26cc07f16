// Panel scan on AMX tiles.
//
// Rows are the A operand as they lie in memory (16 strided lines), packed queries the B operand; a
// 2 x 2 block of tiles scores 32 rows x 32 queries. Accumulators start from the lanes' init values, so
// the error margin costs nothing. The finished block is stored once, to L1, and the 512-bit epilogue
// compares it with the thresholds: four rows make one 64-bit mask and one branch.
// One group alone runs 4 x 1 (64 rows x 16 queries). Row tails use tiles of fewer rows.
// Cost per block and 64 bytes of depth: 4 tile products (64 cycles), 4 tile loads.
// Source: own; the register shape is that of Intel's AMX optimisation guide.
#pragma once

#include <immintrin.h>

#include "kernels/generic/panel.h"

namespace nearfield::kernels {
namespace {

inline constexpr std::size_t kTileRows = 16;
inline constexpr std::size_t kTileBytes = 1024;

struct alignas(64) TileConfig {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t bytes[16] = {};
    std::uint8_t rows[16] = {};
};

/// Tiles 0-3 accumulate, 4-5 hold rows, 6-7 queries. first/second: rows of the two row tiles.
inline void configure(std::size_t first, std::size_t second) noexcept {
    TileConfig config;
    for (std::size_t t = 0; t < 8; ++t) {
        config.bytes[t] = 64;
        config.rows[t] = kTileRows;
    }
    const auto top = static_cast<std::uint8_t>(first);
    const auto bottom = static_cast<std::uint8_t>(second);
    config.rows[0] = config.rows[1] = config.rows[4] = top;
    config.rows[2] = config.rows[3] = config.rows[5] = bottom;
    // The compiler does not see that the configuration reads this memory.
    __asm__ volatile("" : : "r"(&config) : "memory");
    _tile_loadconfig(&config);
}

struct TileU8 {
    static __m512 to_float(const void* raw) noexcept {
        return _mm512_cvtepi32_ps(_mm512_load_si512(raw));
    }
};

struct TileBF16 {
    static __m512 to_float(const void* raw) noexcept { return _mm512_load_ps(raw); }
};

/// acc += row tile x query tile; the tile numbers must be literals.
#define NEARFIELD_TILE_DOT(T, acc, row, query) \
    do {                                       \
        if constexpr (__is_same(T, TileU8)) {  \
            _tile_dpbusd(acc, row, query);     \
        } else {                               \
            _tile_dpbf16ps(acc, row, query);   \
        }                                      \
    } while (false)

/// Upper bounds of one row against 16 lanes, and which of them pass.
template <class T>
inline __mmask16 test_row(const PanelArgs& a, const std::uint8_t* tile, std::size_t i,
                          std::size_t row, std::size_t group, __m512 threshold,
                          __m512& value) noexcept {
    value = _mm512_mul_ps(T::to_float(tile + i * 64), _mm512_set1_ps(a.scale[row]));
    for (std::size_t t = 0; t < a.terms; ++t) {
        value = _mm512_fmadd_ps(_mm512_loadu_ps(a.lane_term[t] + group * kGroup),
                                _mm512_set1_ps(a.row_term[t][row]), value);
    }
    return _mm512_cmp_ps_mask(value, threshold, _CMP_NLT_UQ);
}

/// Hits of one finished accumulator tile (count rows from `row` on).
template <class T>
inline std::size_t select_tile(const PanelArgs& a, const std::uint8_t* tile, std::size_t count,
                               std::size_t row, std::size_t group, PanelHit* hits) noexcept {
    const __m512 threshold = _mm512_loadu_ps(a.threshold + group * kGroup);
    std::size_t n = 0;
    const auto write = [&](std::size_t i, __mmask16 mask, __m512 value) noexcept {
        if (mask == 0) return;
        alignas(64) float upper[kGroup];
        _mm512_store_ps(upper, value);
        n += emit(mask, row + i, group, upper, hits + n);
    };
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        __m512 v0, v1, v2, v3;
        const __mmask16 m0 = test_row<T>(a, tile, i, row + i, group, threshold, v0);
        const __mmask16 m1 = test_row<T>(a, tile, i + 1, row + i + 1, group, threshold, v1);
        const __mmask16 m2 = test_row<T>(a, tile, i + 2, row + i + 2, group, threshold, v2);
        const __mmask16 m3 = test_row<T>(a, tile, i + 3, row + i + 3, group, threshold, v3);
        const __mmask16 any = _kor_mask16(_kor_mask16(m0, m1), _kor_mask16(m2, m3));
        if (__builtin_expect(_kortestz_mask16_u8(any, any), 1)) continue;
        write(i, m0, v0);
        write(i + 1, m1, v1);
        write(i + 2, m2, v2);
        write(i + 3, m3, v3);
    }
    for (; i < count; ++i) {
        __m512 value;
        const __mmask16 mask = test_row<T>(a, tile, i, row + i, group, threshold, value);
        write(i, mask, value);
    }
    return n;
}

/// Up to 32 rows x 32 queries; first/second rows as configured.
template <class T>
inline std::size_t block_2x2(const PanelArgs& a, std::size_t row, std::size_t first,
                             std::size_t second, std::size_t group, PanelHit* hits) noexcept {
    alignas(64) std::uint8_t tiles[4 * kTileBytes];
    const std::uint8_t* top = a.rows + row * a.stride;
    const std::uint8_t* bottom = second != 0 ? top + kTileRows * a.stride : top;
    const std::uint8_t* left = a.panel + group * a.depth * kGroup;
    const std::uint8_t* right = left + a.depth * kGroup;
    const auto* init = static_cast<const std::uint8_t*>(a.init) + group * kGroup * 4;
    _tile_loadd(0, init, 0);
    _tile_loadd(1, init + 64, 0);
    if (second != 0) {
        _tile_loadd(2, init, 0);
        _tile_loadd(3, init + 64, 0);
    }
    for (std::size_t k = 0; k < a.depth; k += kDepthStep) {
        _tile_loadd(4, top + k, a.stride);
        _tile_loadd(6, left + k * kGroup, 64);
        _tile_loadd(7, right + k * kGroup, 64);
        NEARFIELD_TILE_DOT(T, 0, 4, 6);
        NEARFIELD_TILE_DOT(T, 1, 4, 7);
        if (second != 0) {
            _tile_loadd(5, bottom + k, a.stride);
            NEARFIELD_TILE_DOT(T, 2, 5, 6);
            NEARFIELD_TILE_DOT(T, 3, 5, 7);
        }
    }
    _tile_stored(0, tiles, 64);
    _tile_stored(1, tiles + kTileBytes, 64);
    std::size_t n = select_tile<T>(a, tiles, first, row, group, hits);
    n += select_tile<T>(a, tiles + kTileBytes, first, row, group + 1, hits + n);
    if (second != 0) {
        _tile_stored(2, tiles + 2 * kTileBytes, 64);
        _tile_stored(3, tiles + 3 * kTileBytes, 64);
        n += select_tile<T>(a, tiles + 2 * kTileBytes, second, row + kTileRows, group, hits + n);
        n +=
            select_tile<T>(a, tiles + 3 * kTileBytes, second, row + kTileRows, group + 1, hits + n);
    }
    return n;
}

/// Up to 32 rows x 16 queries.
template <class T>
inline std::size_t block_2x1(const PanelArgs& a, std::size_t row, std::size_t first,
                             std::size_t second, std::size_t group, PanelHit* hits) noexcept {
    alignas(64) std::uint8_t tiles[2 * kTileBytes];
    const std::uint8_t* top = a.rows + row * a.stride;
    const std::uint8_t* bottom = second != 0 ? top + kTileRows * a.stride : top;
    const std::uint8_t* panel = a.panel + group * a.depth * kGroup;
    const auto* init = static_cast<const std::uint8_t*>(a.init) + group * kGroup * 4;
    _tile_loadd(0, init, 0);
    if (second != 0) _tile_loadd(2, init, 0);
    for (std::size_t k = 0; k < a.depth; k += kDepthStep) {
        _tile_loadd(4, top + k, a.stride);
        _tile_loadd(6, panel + k * kGroup, 64);
        NEARFIELD_TILE_DOT(T, 0, 4, 6);
        if (second != 0) {
            _tile_loadd(5, bottom + k, a.stride);
            NEARFIELD_TILE_DOT(T, 2, 5, 6);
        }
    }
    _tile_stored(0, tiles, 64);
    std::size_t n = select_tile<T>(a, tiles, first, row, group, hits);
    if (second != 0) {
        _tile_stored(2, tiles + kTileBytes, 64);
        n += select_tile<T>(a, tiles + kTileBytes, second, row + kTileRows, group, hits + n);
    }
    return n;
}

template <class T>
inline std::size_t block_rows(const PanelArgs& a, std::size_t row, std::size_t first,
                              std::size_t second, PanelHit* hits) noexcept {
    std::size_t n = 0;
    std::size_t group = 0;
    for (; group + 2 <= a.groups; group += 2)
        n += block_2x2<T>(a, row, first, second, group, hits + n);
    if (group < a.groups) n += block_2x1<T>(a, row, first, second, group, hits + n);
    return n;
}

template <class T>
inline std::size_t panel_tiles(const PanelArgs& a, PanelHit* hits) noexcept {
    std::size_t n = 0;
    std::size_t row = 0;
    if (a.count >= 2 * kTileRows) {
        configure(kTileRows, kTileRows);
        for (; row + 2 * kTileRows <= a.count; row += 2 * kTileRows) {
            n += block_rows<T>(a, row, kTileRows, kTileRows, hits + n);
        }
    }
    while (row < a.count) {
        const std::size_t left = a.count - row;
        const std::size_t rows = left < kTileRows ? left : kTileRows;
        configure(rows, kTileRows);
        n += block_rows<T>(a, row, rows, 0, hits + n);
        row += rows;
    }
    _tile_release();
    return n;
}

#undef NEARFIELD_TILE_DOT

}  // namespace
}  // namespace nearfield::kernels
