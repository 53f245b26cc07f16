// Queries under their programs, prepared for a scan as they are mapped: map_rows.cu and prepare_queries.cu in
// one launch, to the bits of both.
//
// Grid, memory and programs as map_rows.cu has them. A block maps a tile in its memory, and each of its warps
// prepares a row from there. out: the mapped queries, dense float32, written once and read by whoever scores
// exactly. type: of the prepared elements, that of the rows or, for rows of bytes, kI8; the rest as
// prepare_queries.cu has it.
// Cost: that of the steps; one read and two writes of the queries. Source: own.

#include "map_tile.cuh"
#include "prepare.cuh"

namespace nearfield {
namespace {

__device__ void prepare_as(u32 type, const float* q, u32 query, const Preparation& p,
                           void* prepared) {
    switch (type) {
        case kF32: prepare(q, query, p, static_cast<float*>(prepared)); return;
        case kF16: prepare(q, query, p, static_cast<f16*>(prepared)); return;
        case kBF16: prepare(q, query, p, static_cast<bf16*>(prepared)); return;
        default: prepare(q, query, p, static_cast<i8*>(prepared));
    }
}

template <u32 R>
__device__ void map_queries(const RowSource& source, const Chosen& chosen, const Bags& bags,
                            u32 tiles, const TileMemory& memory, u32* is_beyond, float* out,
                            u32 type, const Preparation& preparation, void* prepared) {
    const u32 dim = preparation.dim;
    map_tiles<R>(source, chosen, bags, tiles, memory, dim, is_beyond,
                 [&](const Tile& tile, const TileRows& row_of, const TileMemory& m) {
                     for (u32 at = threadIdx.x; at < tile.count * dim; at += blockDim.x) {
                         const u32 r = at / dim, k = at % dim;
                         out[static_cast<u64>(row_of(r)) * dim + k] = m.x[r * m.stride + k];
                     }
                     for (u32 r = warp_id(); r < tile.count; r += blockDim.x / kWarp) {
                         prepare_as(type, m.x + r * m.stride, row_of(r), preparation, prepared);
                     }
                 });
}

}  // namespace
}  // namespace nearfield

#define NEARFIELD_MAP_QUERIES(R)                                                                   \
    extern "C" __global__ void __launch_bounds__(128) map_queries_##R(                             \
        const void* rows, nearfield::u64 stride, nearfield::u32 type, nearfield::u32 dim,          \
        nearfield::u32 count, nearfield::u32 per_query, const void* programs,                      \
        nearfield::u32 program_count, const nearfield::u32* numbers, const nearfield::u32* order,  \
        const nearfield::u32* offsets, const void* bags, nearfield::u32 vocabulary,                \
        float* scratch, nearfield::u32 floats, nearfield::u32 widest, nearfield::u32 hidden,       \
        nearfield::u32 has_spare, nearfield::u32 tiles, nearfield::u32* is_beyond, float* out,     \
        nearfield::u32 out_dim, nearfield::u32 metric, const float* limits,                        \
        nearfield::u32 prepared_type, void* prepared, nearfield::u64 prepared_stride, float* unit, \
        float* margin, double* norms, nearfield::i32 zero_point, nearfield::i32* init) {           \
        using namespace nearfield;                                                                 \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                          \
        const MemoryPlan plan = {scratch, floats, widest, hidden, has_spare};                      \
        map_queries<R>(                                                                            \
            {rows, stride, type, dim, count, per_query},                                           \
            {static_cast<const Program*>(programs), program_count, numbers, order, offsets},       \
            {bags, vocabulary, count}, tiles, plan.memory(reinterpret_cast<float*>(shared), R),    \
            is_beyond, out, prepared_type,                                                         \
            {out_dim, metric, limits, prepared_stride, unit, margin, norms, zero_point, init},     \
            prepared);                                                                             \
    }                                                                                              \
    NEARFIELD_KERNEL(map_queries_##R)

NEARFIELD_MAP_QUERIES(1)
NEARFIELD_MAP_QUERIES(8)
