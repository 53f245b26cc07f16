// Panel scan on AMX tiles.
//
// Rows are the A operand as they lie in memory (16 strided lines), packed queries the B operand. Long
// rows: a 2 x 2 block of tiles scores 32 rows x 32 queries, each tile loaded serves two products. Rows
// of up to 128 bytes: the tiles of 32 queries stay in registers while all rows pass, so that
// only rows are loaded. Finished tiles go through the epilogue while later ones are computed.
// (Software prefetch of the rows to L1 was tried: about 10 % slower at 384 dims, no clear gain at 128.)
// Row tails use tiles of fewer rows. Cost per 32 x 32 pairs and 64 bytes of depth: 4 tile products
// (64 cycles).
// Source: own; the 2 x 2 shape is that of Intel's AMX optimisation guide.
#pragma once

#include "kernels/amx/epilogue.h"

namespace nearfield::kernels {
namespace {

inline constexpr std::size_t kBlockTileRows = 2 * kTileRows;
/// Depth up to which the tiles of two groups of queries stay in registers.
inline constexpr std::size_t kResidentDepth = 2 * kDepthStep;

/// 32 rows x (16 * Columns) queries.
template <class T, std::size_t Columns, class E>
inline void full_block(const PanelArgs& a, std::size_t row, std::size_t group,
                       E& epilogue) noexcept {
    const std::uint8_t* top = a.rows + row * a.stride;
    const std::uint8_t* bottom = top + kTileRows * a.stride;
    const std::uint8_t* left = a.panel + group * a.depth * kGroup;
    const std::uint8_t* right = left + a.depth * kGroup;
    const std::size_t tiles_per_step = (4 * kDepthStep + a.depth - 1) / a.depth;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
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
    std::uint8_t* tiles = epilogue.take(row, group, Columns == 2);
    _tile_stored(0, tiles, 64);
    if constexpr (Columns == 2) {
        _tile_stored(1, tiles + kTileBytes, 64);
        tiles = epilogue.take(row + kTileRows, group, true);
        _tile_stored(2, tiles, 64);
        _tile_stored(3, tiles + kTileBytes, 64);
    } else {
        _tile_stored(2, tiles + kTileBytes, 64);
    }
}

/// Rows [0, rows), a multiple of 16, x 32 queries; Steps: depth / 64, 1 or 2.
template <class T, std::size_t Steps, class E>
inline void resident_columns(const PanelArgs& a, std::size_t rows, std::size_t group,
                             E& epilogue) noexcept {
    const std::uint8_t* left = a.panel + group * a.depth * kGroup;
    const std::uint8_t* right = left + a.depth * kGroup;
    _tile_loadd(4, left, 64);
    _tile_loadd(5, right, 64);
    if constexpr (Steps == 2) {
        _tile_loadd(6, left + kTileBytes, 64);
        _tile_loadd(7, right + kTileBytes, 64);
    }
    for (std::size_t row = 0; row < rows; row += kTileRows) {
        const std::uint8_t* from = a.rows + row * a.stride;
        _tile_loadd(2, from, a.stride);
        if constexpr (Steps == 2) _tile_loadd(3, from + kDepthStep, a.stride);
        _tile_zero(0);
        _tile_zero(1);
        NEARFIELD_TILE_DOT(T, 0, 2, 4);
        NEARFIELD_TILE_DOT(T, 1, 2, 5);
        epilogue.run(1);
        if constexpr (Steps == 2) {
            NEARFIELD_TILE_DOT(T, 0, 3, 6);
            NEARFIELD_TILE_DOT(T, 1, 3, 7);
        }
        epilogue.run(1);
        std::uint8_t* tiles = epilogue.take(row, group, true);
        _tile_stored(0, tiles, 64);
        _tile_stored(1, tiles + kTileBytes, 64);
    }
}

/// Two groups of queries against rows [0, rows), a multiple of 32.
template <class T, class E>
inline void two_groups(const PanelArgs& a, std::size_t rows, std::size_t group,
                       E& epilogue) noexcept {
    if (a.depth == kDepthStep) {
        resident_columns<T, 1>(a, rows, group, epilogue);
    } else {
        resident_columns<T, 2>(a, rows, group, epilogue);
    }
}

/// Up to 16 rows x 16 queries: row tails.
template <class T, class E>
inline void short_block(const PanelArgs& a, std::size_t row, std::size_t rows, std::size_t group,
                        E& epilogue) noexcept {
    alignas(64) std::uint8_t tile[kTileBytes];
    const std::uint8_t* top = a.rows + row * a.stride;
    const std::uint8_t* panel = a.panel + group * a.depth * kGroup;
    _tile_zero(0);
    for (std::size_t k = 0; k < a.depth; k += kDepthStep) {
        _tile_loadd(4, top + k, a.stride);
        _tile_loadd(6, panel + k * kGroup, 64);
        NEARFIELD_TILE_DOT(T, 0, 4, 6);
    }
    _tile_stored(0, tile, 64);
    epilogue.short_tile(rows, row, group, tile);
}

/// All groups against rows [0, rows), a multiple of 32.
template <class T, class E>
inline void full_rows(const PanelArgs& a, std::size_t rows, E& epilogue) noexcept {
    const bool resident = a.depth <= kResidentDepth;
    if (resident && a.groups >= 2) two_groups<T>(a, rows, 0, epilogue);
    if (resident && a.groups == 4) two_groups<T>(a, rows, 2, epilogue);
    for (std::size_t row = 0; row < rows; row += kBlockTileRows) {
        if (!resident && a.groups >= 2) full_block<T, 2>(a, row, 0, epilogue);
        if (!resident && a.groups == 4) full_block<T, 2>(a, row, 2, epilogue);
        if (a.groups % 2 == 1) full_block<T, 1>(a, row, a.groups - 1, epilogue);
    }
}

template <class T, std::size_t Terms>
inline std::size_t panel_terms(const PanelArgs& a, const PanelHits& hits) noexcept {
    // Short rows leave room in L1 to gather more tiles.
    Epilogue<T, Terms> epilogue(a, hits, a.depth <= kResidentDepth ? 8 : 2);
    const std::size_t full = a.count / kBlockTileRows * kBlockTileRows;
    if (full != 0) {
        configure(kTileRows);
        full_rows<T>(a, full, epilogue);
        epilogue.drain();
    }
    for (std::size_t row = full; row < a.count; row += kTileRows) {
        const std::size_t rows = a.count - row < kTileRows ? a.count - row : kTileRows;
        configure(rows);
        for (std::size_t group = 0; group < a.groups; ++group) {
            short_block<T>(a, row, rows, group, epilogue);
        }
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
