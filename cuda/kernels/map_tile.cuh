// One tile of a batch of rows under programs: which rows, read as float32, and what became of them.
//
// Which program a row has: the only one; or numbers[row], tiles of one row; or sorted, `order` the rows and
// offsets[n] where those of number n start. Number 0 stands for the row as it is, n for program n - 1; rows
// of any other number, or whose columns are not those expected, become NaN. Tile t of sorted rows belongs to
// the last number whose rows start at or before it if number n may start at tile offsets[n] / R + n: that
// leaves room for all, and nobody needs to know how many tiles there are. Source: own.
#pragma once

#include "row_maps.cuh"

namespace nearfield {

/// Names of element types, as the host has them.
enum ElementType : u32 { kF32 = 0, kF16 = 1, kBF16 = 2, kI8 = 3, kU8 = 4 };

struct RowSource {
    const void* rows;
    u64 stride;
    u32 type;
    u32 dim;
    u32 count;      // rows after the map
    u32 per_query;  // of each row before it
};

struct Chosen {
    const Program* programs;
    u32 count;
    const u32* numbers;  // or null
    const u32* order;    // or null
    const u32* offsets;  // with order: count + 3
};

/// What programs need of a block's memory, in floats; see TileMemory.
struct MemoryPlan {
    float* scratch;  // `floats` a block; null: shared memory
    u32 floats;
    u32 widest;
    u32 hidden;
    u32 has_spare;

    __device__ TileMemory memory(float* shared, u32 rows) const {
        float* const x =
            scratch != nullptr ? scratch + static_cast<u64>(blockIdx.x) * floats : shared;
        float* const spare = x + rows * widest;
        float* const hidden_at = has_spare != 0 ? spare + rows * widest : spare;
        return {x, spare, hidden_at, hidden_at + rows * hidden, widest};
    }
};

struct Tile {
    u32 number;
    u32 first;  // of `order` where there is one, else a row
    u32 count;
};

/// The rows of a tile, by their place in it.
struct TileRows {
    const u32* order;  // or null
    u32 first;

    __device__ u32 operator()(u32 r) const {
        return order != nullptr ? order[first + r] : first + r;
    }
};

static __device__ float element_of(const void* rows, u64 at, u32 type) {
    switch (type) {
        case kF32: return static_cast<const float*>(rows)[at];
        case kF16: return to_float(static_cast<const f16*>(rows)[at]);
        case kBF16: return to_float(static_cast<const bf16*>(rows)[at]);
        case kI8: return static_cast<float>(static_cast<const i8*>(rows)[at]);
        default: return static_cast<float>(static_cast<const u8*>(rows)[at]);
    }
}

template <u32 R>
static __device__ Tile tile_at(const Chosen& chosen, u32 rows, u32 number) {
    if (chosen.order == nullptr) {
        if (chosen.numbers != nullptr) return {chosen.numbers[number], number, 1};
        return {1, number * R, min(R, rows - number * R)};
    }
    u32 low = 0,
        high = chosen.count + 2;  // numbers 0 to count + 1, the last for all that are wrong
    while (high - low > 1) {
        const u32 middle = (low + high) / 2;
        (chosen.offsets[middle] / R + middle <= number ? low : high) = middle;
    }
    const u32 skipped = (number - chosen.offsets[low] / R - low) * R;
    const u32 first = chosen.offsets[low] + skipped, last = chosen.offsets[low + 1];
    return {low, first, first < last ? min(R, last - first) : 0};
}

/// Reads a tile's rows, and maps them: the columns they have then. row_of: r-th row of the tile.
template <u32 R>
static __device__ u32 map_tile(const RowSource& source, const Chosen& chosen, const Bags& bags,
                               const Tile& tile, const TileRows& row_of, TileMemory& m) {
    __syncthreads();  // the last tile has been stored
    for (u32 at = threadIdx.x; at < R * source.dim; at += blockDim.x) {
        const u32 r = at / source.dim, k = at % source.dim;
        const u64 from = r < tile.count ? row_of(r) / source.per_query * source.stride + k : 0;
        m.x[r * m.stride + k] = r < tile.count ? element_of(source.rows, from, source.type) : 0.0f;
    }
    __syncthreads();
    if (tile.number == 0) return source.dim;
    if (tile.number > chosen.count) return 0;
    return run_program<R>(chosen.programs[tile.number - 1], bags, tile.first, tile.count,
                          source.dim, m);
}

/// NaN where a map did not give `columns`; *is_beyond becomes 1 where a row is not finite.
template <u32 R>
static __device__ void check_tile(const Tile& tile, u32 given, u32 columns, const TileMemory& m,
                                  u32* is_beyond) {
    for (u32 at = threadIdx.x; at < tile.count * columns; at += blockDim.x) {
        float& y = m.x[at / columns * m.stride + at % columns];
        if (given != columns) y = __uint_as_float(0x7fc00000u);
        if (is_beyond != nullptr && !(y - y == 0.0f)) *is_beyond = 1;
    }
}

/// Maps all tiles of a batch, which the blocks share: take(tile, row_of, memory) by all threads, the mapped rows
/// of a tile being in memory.x.
template <u32 R, class Take>
static __device__ __forceinline__ void map_tiles(const RowSource& source, const Chosen& chosen,
                                                 const Bags& bags, u32 tiles,
                                                 const TileMemory& memory, u32 columns,
                                                 u32* is_beyond, Take take) {
    for (u32 number = blockIdx.x; number < tiles; number += gridDim.x) {
        const Tile tile = tile_at<R>(chosen, source.count, number);
        if (tile.count == 0) continue;
        const TileRows row_of = {chosen.order, tile.first};
        TileMemory m = memory;
        const u32 given = map_tile<R>(source, chosen, bags, tile, row_of, m);
        check_tile<R>(tile, given, columns, m, is_beyond);
        __syncthreads();
        take(tile, row_of, m);
    }
}

}  // namespace nearfield
