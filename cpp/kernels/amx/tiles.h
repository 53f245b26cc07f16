// Tile registers: their shape, and the two products the panels use.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

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

/// All tiles whole, but for 0, 1 and 4, which are `rows` tall: a short tile of rows and its sums.
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

/// uint8 rows x int8 queries, sums in int32.
struct TileU8 {
    static constexpr bool kIntegers = true;
    static __m512 to_float(const void* raw) noexcept {
        return _mm512_cvtepi32_ps(_mm512_load_si512(raw));
    }
    /// A sum and its lane's start value, as the other levels have them.
    static __m512 started(const void* raw, const void* init) noexcept {
        return _mm512_cvtepi32_ps(
            _mm512_add_epi32(_mm512_load_si512(raw), _mm512_loadu_si512(init)));
    }
};

/// bfloat16 rows x bfloat16 queries, sums in float32.
struct TileBF16 {
    static constexpr bool kIntegers = false;
    static __m512 started(const void* raw, const void* init) noexcept {
        return _mm512_add_ps(_mm512_load_ps(raw), _mm512_loadu_ps(init));
    }
};

/// acc += row tile x query tile; the tile numbers must be literals.
#define NEARFIELD_TILE_DOT(T, acc, row, query) \
    do {                                       \
        if constexpr (T::kIntegers) {          \
            _tile_dpbusd(acc, row, query);     \
        } else {                               \
            _tile_dpbf16ps(acc, row, query);   \
        }                                      \
    } while (false)

}  // namespace
}  // namespace nearfield::kernels
