// Panel scan on AMX tiles.
//
// Rows are the A operand as they lie in memory (16 strided lines), packed queries the B operand; a
// 2 x 2 block of tiles scores 32 rows x 32 queries. Accumulators start from the lanes' init values, so
// the error margin costs nothing. A finished block is stored to L1 and compared with the thresholds,
// 512 bits at a time and without branches, between the tile products of the block after it.
// (Software prefetch of the rows to L1 was tried: about 10 % slower at 384 dims, no clear gain at 128.)
// Row tails use tiles of fewer rows. Cost per block and 64 bytes of depth: 4 tile products (64 cycles).
// Source: own; the register shape is that of Intel's AMX optimisation guide.
#pragma once

#include <immintrin.h>

#include "kernels/avx512/panel.h"

namespace nearfield::kernels {
namespace {

inline constexpr std::size_t kTileRows = 16;
inline constexpr std::size_t kTileBytes = 1024;
inline constexpr std::size_t kBlockTileRows = 2 * kTileRows;

struct alignas(64) TileConfig {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t bytes[16] = {};
    std::uint8_t rows[16] = {};
};

/// Tiles 0-3 accumulate, 4-5 hold rows (the first pair of each `rows` tall), 6-7 queries.
inline void configure(std::size_t rows) noexcept {
    TileConfig config;
    for (std::size_t t = 0; t < 8; ++t) {
        config.bytes[t] = 64;
        config.rows[t] = kTileRows;
    }
    config.rows[0] = config.rows[1] = config.rows[4] = static_cast<std::uint8_t>(rows);
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

/// Finished accumulators on their way through the epilogue. Tile t belongs to rows
/// row + 16 * (t / columns) and group + t % columns. run() only notes which rows have a hit, without a
/// branch, so that it can stand between tile products; emit() then visits the few rows that do.
/// Terms: how many rank-one terms the bound has.
template <class T, std::size_t Terms>
class Epilogue {
public:
    Epilogue(const PanelArgs& args, const PanelHits& hits) noexcept : a_(args), hits_(hits) {}

    std::uint8_t* start(std::size_t row, std::size_t group, std::size_t columns,
                        std::size_t count) noexcept {
        row_ = row;
        group_ = group;
        columns_ = columns;
        next_ = 0;
        count_ = count;
        return tiles_;
    }

    void run(std::size_t tiles) noexcept {
        for (; tiles != 0 && next_ < count_; --tiles) compare(next_++);
    }

    void emit() noexcept {
        run(count_);
        for (std::size_t half = 0; half < count_; half += 2) {
            const __m512i masks = _mm512_load_si512(masks_ + half * kTileRows);
            std::uint32_t rows = _cvtmask32_u32(_mm512_test_epi16_mask(masks, masks));
            for (; rows != 0; rows &= rows - 1) {
                emit_row(half * kTileRows + static_cast<std::size_t>(__builtin_ctz(rows)));
            }
        }
        count_ = 0;
        next_ = 0;
    }

    /// The rows of one short tile, one at a time.
    void short_tile(std::size_t rows, std::size_t row, std::size_t group,
                    const std::uint8_t* tile) noexcept {
        const __m512 threshold = _mm512_loadu_ps(a_.threshold + group * kGroup);
        for (std::size_t i = 0; i < rows; ++i) {
            const __m512 value = bound(tile + i * 64, row + i, group * kGroup);
            const __mmask16 mask = _mm512_cmp_ps_mask(value, threshold, _CMP_NLT_UQ);
            n_ = Epilogue512::emit(mask, value, pair_of(row + i, group), hits_, n_);
        }
    }

    std::size_t hits() const noexcept { return n_; }

private:
    __m512 bound(const std::uint8_t* raw, std::size_t row, std::size_t lane) const noexcept {
        __m512 value = _mm512_mul_ps(T::to_float(raw), _mm512_set1_ps(a_.scale[row]));
        for (std::size_t t = 0; t < Terms; ++t) {
            value = _mm512_fmadd_ps(_mm512_loadu_ps(a_.lane_term[t] + lane),
                                    _mm512_set1_ps(a_.row_term[t][row]), value);
        }
        return value;
    }

    std::size_t first_row(std::size_t tile) const noexcept {
        return row_ + tile / columns_ * kTileRows;
    }
    std::size_t group(std::size_t tile) const noexcept { return group_ + tile % columns_; }

    void compare(std::size_t tile) noexcept {
        const std::size_t lane = group(tile) * kGroup;
        const std::size_t row = first_row(tile);
        const __m512 threshold = _mm512_loadu_ps(a_.threshold + lane);
        const std::uint8_t* raw = tiles_ + tile * kTileBytes;
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kTileRows; ++i) {
            const __m512 value = bound(raw + i * 64, row + i, lane);
            masks_[tile * kTileRows + i] = _mm512_cmp_ps_mask(value, threshold, _CMP_NLT_UQ);
        }
    }

    void emit_row(std::size_t slot) noexcept {
        const std::size_t tile = slot / kTileRows;
        const std::size_t row = first_row(tile) + slot % kTileRows;
        const __m512 value = bound(tiles_ + slot * 64, row, group(tile) * kGroup);
        n_ = Epilogue512::emit(masks_[slot], value, pair_of(row, group(tile)), hits_, n_);
    }

    const PanelArgs& a_;
    const PanelHits& hits_;
    std::size_t n_ = 0;
    std::size_t row_ = 0;
    std::size_t group_ = 0;
    std::size_t columns_ = 1;
    std::size_t next_ = 0;
    std::size_t count_ = 0;  // 0, 2 or 4 tiles
    alignas(64) __mmask16 masks_[4 * kTileRows];
    alignas(64) std::uint8_t tiles_[4 * kTileBytes];
};

/// 32 rows x (16 * Columns) queries; meanwhile the block before goes through the epilogue.
template <class T, std::size_t Columns, class E>
inline void full_block(const PanelArgs& a, std::size_t row, std::size_t group,
                       E& epilogue) noexcept {
    const std::uint8_t* top = a.rows + row * a.stride;
    const std::uint8_t* bottom = top + kTileRows * a.stride;
    const std::uint8_t* left = a.panel + group * a.depth * kGroup;
    const std::uint8_t* right = left + a.depth * kGroup;
    const auto* init = static_cast<const std::uint8_t*>(a.init) + group * kGroup * 4;
    const std::size_t tiles_per_step = (4 * kDepthStep + a.depth - 1) / a.depth;
    _tile_loadd(0, init, 0);
    _tile_loadd(2, init, 0);
    if constexpr (Columns == 2) {
        _tile_loadd(1, init + 64, 0);
        _tile_loadd(3, init + 64, 0);
    }
    for (std::size_t k = 0; k < a.depth; k += kDepthStep) {
        _tile_loadd(4, top + k, a.stride);
        _tile_loadd(6, left + k * kGroup, 64);
        NEARFIELD_TILE_DOT(T, 0, 4, 6);
        _tile_loadd(5, bottom + k, a.stride);
        if constexpr (Columns == 2) {
            _tile_loadd(7, right + k * kGroup, 64);
            NEARFIELD_TILE_DOT(T, 1, 4, 7);
        }
        NEARFIELD_TILE_DOT(T, 2, 5, 6);
        if constexpr (Columns == 2) NEARFIELD_TILE_DOT(T, 3, 5, 7);
        epilogue.run(tiles_per_step);
    }
    epilogue.emit();
    std::uint8_t* tiles = epilogue.start(row, group, Columns, 2 * Columns);
    _tile_stored(0, tiles, 64);
    if constexpr (Columns == 2) {
        _tile_stored(1, tiles + kTileBytes, 64);
        _tile_stored(2, tiles + 2 * kTileBytes, 64);
        _tile_stored(3, tiles + 3 * kTileBytes, 64);
    } else {
        _tile_stored(2, tiles + kTileBytes, 64);
    }
}

/// Up to 16 rows x 16 queries: row tails.
template <class T, class E>
inline void short_block(const PanelArgs& a, std::size_t row, std::size_t rows, std::size_t group,
                        E& epilogue) noexcept {
    alignas(64) std::uint8_t tile[kTileBytes];
    const std::uint8_t* top = a.rows + row * a.stride;
    const std::uint8_t* panel = a.panel + group * a.depth * kGroup;
    _tile_loadd(0, static_cast<const std::uint8_t*>(a.init) + group * kGroup * 4, 0);
    for (std::size_t k = 0; k < a.depth; k += kDepthStep) {
        _tile_loadd(4, top + k, a.stride);
        _tile_loadd(6, panel + k * kGroup, 64);
        NEARFIELD_TILE_DOT(T, 0, 4, 6);
    }
    _tile_stored(0, tile, 64);
    epilogue.short_tile(rows, row, group, tile);
}

template <class T, std::size_t Terms>
inline std::size_t panel_terms(const PanelArgs& a, const PanelHits& hits) noexcept {
    Epilogue<T, Terms> epilogue(a, hits);
    std::size_t row = 0;
    if (a.count >= kBlockTileRows) {
        configure(kTileRows);
        for (; row + kBlockTileRows <= a.count; row += kBlockTileRows) {
            if (a.groups == 1) {
                full_block<T, 1>(a, row, 0, epilogue);
                continue;
            }
            full_block<T, 2>(a, row, 0, epilogue);
            if (a.groups == 3) full_block<T, 1>(a, row, 2, epilogue);
            if (a.groups == 4) full_block<T, 2>(a, row, 2, epilogue);
        }
        epilogue.emit();
    }
    while (row < a.count) {
        const std::size_t rows = a.count - row < kTileRows ? a.count - row : kTileRows;
        configure(rows);
        for (std::size_t group = 0; group < a.groups; ++group) {
            short_block<T>(a, row, rows, group, epilogue);
        }
        row += rows;
    }
    _tile_release();
    return epilogue.hits();
}

template <class T>
inline std::size_t panel_tiles(const PanelArgs& a, const PanelHits& hits) noexcept {
    switch (a.terms) {
        case 0: return panel_terms<T, 0>(a, hits);
        case 1: return panel_terms<T, 1>(a, hits);
        default: return panel_terms<T, 2>(a, hits);
    }
}

#undef NEARFIELD_TILE_DOT

}  // namespace
}  // namespace nearfield::kernels
