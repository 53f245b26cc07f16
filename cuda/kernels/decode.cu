// Rows of codes: what cpp/quant decodes, bit for bit.
//
// pq_decode: part j of a row is the centroid that number j of the code names. scalar_decode: the middle of a
// cell, base + step * number. Numbers have 8 bits, or 4: then even ones are low halves of a byte. A warp has a
// row, its lanes elements; blocks of a multiple of 32 threads. Cost: one read of the codes, one write of the rows.
// Source: own.

#include "device.cuh"

namespace nearfield {
namespace {

__device__ u32 number_of(const u8* code, u32 j, u32 bits) {
    return bits == 8 ? code[j] : code[j / 2] >> (j % 2 * 4) & 15u;
}

}  // namespace
}  // namespace nearfield

/// books: m x 2^bits x width. Rows lie without a gap.
extern "C" __global__ void pq_decode(const nearfield::u8* codes, nearfield::u64 code_stride,
                                     nearfield::u32 count, const float* books, nearfield::u32 m,
                                     nearfield::u32 width, nearfield::u32 bits, float* rows) {
    using namespace nearfield;
    const u32 row = blockIdx.x * (blockDim.x / kWarp) + warp_id(), dim = m * width;
    if (row >= count) return;
    const u8* const code = codes + row * code_stride;
    for (u32 d = lane_id(); d < dim; d += kWarp) {
        const u32 j = d / width, c = number_of(code, j, bits);
        rows[static_cast<u64>(row) * dim + d] =
            books[((static_cast<u64>(j) << bits) + c) * width + d % width];
    }
}
NEARFIELD_KERNEL(pq_decode)

extern "C" __global__ void scalar_decode(const nearfield::u8* codes, nearfield::u64 code_stride,
                                         nearfield::u32 count, nearfield::u32 dim,
                                         const float* step, const float* base, nearfield::u32 bits,
                                         float* rows) {
    using namespace nearfield;
    const u32 row = blockIdx.x * (blockDim.x / kWarp) + warp_id();
    if (row >= count) return;
    const u8* const code = codes + row * code_stride;
    for (u32 d = lane_id(); d < dim; d += kWarp) {
        rows[static_cast<u64>(row) * dim + d] =
            step[d] * static_cast<float>(number_of(code, d, bits)) + base[d];
    }
}
NEARFIELD_KERNEL(scalar_decode)
