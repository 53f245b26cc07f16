// Rows under their programs (row_maps.cuh), in bulk: read once, written once.
//
// Grid: any number of blocks, of 128 threads; they share `tiles` tiles of R rows, map_rows_1 or
// map_rows_8 (map_tile.cuh says how many there are). Shared memory: 4 `floats` bytes, none with scratch.
// out: float32, float16 or bfloat16, `columns` a row; strides in elements. is_beyond: 1 afterwards where a
// row is not finite, else as before; or null.
// numbers_of_ids: ids of maps, -1 for none, as numbers of programs.
// Cost: that of the steps; one read and one write of the rows. Source: own.

#include "map_tile.cuh"

namespace nearfield {
namespace {

__device__ void store_element(float x, void* rows, u64 at, u32 type) {
    switch (type) {
        case kF32: static_cast<float*>(rows)[at] = x; return;
        case kF16: from_float(x, static_cast<f16*>(rows)[at]); return;
        default: from_float(x, static_cast<bf16*>(rows)[at]);
    }
}

template <u32 R>
__device__ void map_rows(const RowSource& source, const Chosen& chosen, const Bags& bags, u32 tiles,
                         const TileMemory& memory, void* out, u32 type, u64 stride, u32 columns,
                         u32* is_beyond) {
    map_tiles<R>(source, chosen, bags, tiles, memory, columns, is_beyond,
                 [&](const Tile& tile, const TileRows& row_of, const TileMemory& m) {
                     for (u32 at = threadIdx.x; at < tile.count * columns; at += blockDim.x) {
                         const u32 r = at / columns, k = at % columns;
                         const u64 to = row_of(r) * stride + k;
                         store_element(m.x[r * m.stride + k], out, to, type);
                     }
                 });
}

}  // namespace
}  // namespace nearfield

#define NEARFIELD_MAP_ROWS(R)                                                                     \
    extern "C" __global__ void __launch_bounds__(128) map_rows_##R(                               \
        const void* rows, nearfield::u64 stride, nearfield::u32 type, nearfield::u32 dim,         \
        nearfield::u32 count, nearfield::u32 per_query, const void* programs,                     \
        nearfield::u32 program_count, const nearfield::u32* numbers, const nearfield::u32* order, \
        const nearfield::u32* offsets, const void* bags, nearfield::u32 vocabulary,               \
        float* scratch, nearfield::u32 floats, nearfield::u32 widest, nearfield::u32 hidden,      \
        nearfield::u32 has_spare, nearfield::u32 tiles, void* out, nearfield::u32 out_type,       \
        nearfield::u64 out_stride, nearfield::u32 columns, nearfield::u32* is_beyond) {           \
        using namespace nearfield;                                                                \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                         \
        const MemoryPlan plan = {scratch, floats, widest, hidden, has_spare};                     \
        map_rows<R>(                                                                              \
            {rows, stride, type, dim, count, per_query},                                          \
            {static_cast<const Program*>(programs), program_count, numbers, order, offsets},      \
            {bags, vocabulary, count}, tiles, plan.memory(reinterpret_cast<float*>(shared), R),   \
            out, out_type, out_stride, columns, is_beyond);                                       \
    }                                                                                             \
    NEARFIELD_KERNEL(map_rows_##R)

NEARFIELD_MAP_ROWS(1)
NEARFIELD_MAP_ROWS(8)

/// One thread an id.
#define NEARFIELD_NUMBERS_OF_IDS(NAME, TYPE)                                                   \
    extern "C" __global__ void numbers_of_ids_##NAME(                                          \
        const TYPE* ids, nearfield::u32 count, nearfield::u32 maps, nearfield::u32* numbers) { \
        const nearfield::u32 at = blockIdx.x * blockDim.x + threadIdx.x;                       \
        if (at >= count) return;                                                               \
        const nearfield::i64 id = ids[at];                                                     \
        const bool is_known = id >= -1 && id < static_cast<nearfield::i64>(maps);              \
        numbers[at] = is_known ? static_cast<nearfield::u32>(id + 1) : maps + 1;               \
    }                                                                                          \
    NEARFIELD_KERNEL(numbers_of_ids_##NAME)

NEARFIELD_NUMBERS_OF_IDS(i32, nearfield::i32)
NEARFIELD_NUMBERS_OF_IDS(i64, nearfield::i64)
