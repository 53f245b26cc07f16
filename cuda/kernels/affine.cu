// Affine maps of float32 rows, W x + b, and rows of length one.
//
// affine_f32: tiles of rows times tiles of outputs, as a scan multiplies queries with rows; fused
// multiply-adds in the order of elements, then b. Its result does not depend on the batch. Grid: one
// dimension, row tiles x output tiles of 64 x 128, row tiles first; blocks of 256 threads, 46080 bytes of
// shared memory. normalise_rows: x / |x|, the length in float64 in the engine's order of sums; rows of zeros
// stay. In place where out is rows; a warp a row, blocks of a multiple of 32 threads.
// Cost: 2 dim outputs operations a row; one read and one write. Source: own.

#include "canonical.cuh"
#include "scan_tile.cuh"

namespace nearfield {
namespace {

using f32 = float;

template <class T>
__device__ void normalise(const T* x, u32 dim, T* out) {
    const double norm = sqrt(warp_ip(x, x, dim));
    for (u32 k = lane_id(); k < dim; k += kWarp) {
        const double value = static_cast<double>(to_float(x[k]));
        from_float(static_cast<float>(norm > 0.0 ? value / norm : value), out[k]);
    }
}

}  // namespace
}  // namespace nearfield

/// weights: outputs x dim, strides of rows and weights in bytes, of out in elements; bias may be null.
extern "C" __global__ void __launch_bounds__(256, 2)
    affine_f32(const nearfield::u8* rows, nearfield::u64 row_stride, nearfield::u32 row_count,
               const nearfield::u8* weights, nearfield::u64 weight_stride, nearfield::u32 outputs,
               nearfield::u32 dim, const float* bias, float* out, nearfield::u64 out_stride) {
    using namespace nearfield;
    using Tile = FmaTile<64, 128>;
    NEARFIELD_DYNAMIC_SHARED(shared);
    const u32 across = (row_count + Tile::QM - 1) / Tile::QM;
    const u32 first_row = blockIdx.x % across * Tile::QM;
    const u32 first_output = blockIdx.x / across * Tile::RN;
    Tile tile;
    over_slices<Tile::QM, Tile::RN>(
        {rows, row_stride, row_count, dim * 4}, {weights, weight_stride, outputs, dim * 4},
        first_row, first_output, shared, [&](const u8* x, const u8* w) { tile.add(x, w); });
#pragma unroll
    for (u32 part = 0; part < Tile::kParts; ++part) {
        const u32 row = first_row + Tile::query_of(part);
#pragma unroll
        for (u32 cell = 0; cell < Tile::kCells; ++cell) {
            const u32 at = first_output + Tile::row_of(cell);
            if (row >= row_count || at >= outputs) continue;
            const float product = tile.product(part, cell, 0);
            out[row * out_stride + at] = bias != nullptr ? product + bias[at] : product;
        }
    }
}
NEARFIELD_KERNEL(affine_f32)

/// Strides in elements.
#define NEARFIELD_NORMALISE_ROWS(T)                                                                \
    extern "C" __global__ void normalise_rows_##T(const nearfield::T* rows, nearfield::u64 stride, \
                                                  nearfield::u32 count, nearfield::u32 dim,        \
                                                  nearfield::T* out, nearfield::u64 out_stride) {  \
        using namespace nearfield;                                                                 \
        const u32 row = blockIdx.x * (blockDim.x / kWarp) + warp_id();                             \
        if (row < count) normalise(rows + row * stride, dim, out + row * out_stride);              \
    }                                                                                              \
    NEARFIELD_KERNEL(normalise_rows_##T)

NEARFIELD_NORMALISE_ROWS(f32)
NEARFIELD_NORMALISE_ROWS(f16)
NEARFIELD_NORMALISE_ROWS(bf16)
