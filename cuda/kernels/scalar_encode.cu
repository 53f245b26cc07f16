// Scalar quantization: the codes of rows, bit for bit those of cpp/quant/sq.
//
// cell = (x - low) * inverse, cut to a whole number in 0..most; 8 bits, or 4: then even dimensions are low
// halves of a byte. A warp has a row, its lanes bytes of the code; blocks of a multiple of 32 threads.
// Cost: one read of the rows, one write of the codes. Source: own.

#include "device.cuh"

namespace nearfield {
namespace {

using f32 = float;

struct Ranges {
    const float* low;
    const float* inverse;
    float most;
};

__device__ u32 cell_of(float x, const Ranges& ranges, u32 d) {
    const float cell = (x - ranges.low[d]) * ranges.inverse[d];
    return static_cast<u32>(cell > 0.0f ? fminf(cell, ranges.most) : 0.0f);
}

template <class T>
__device__ void scalar_encode(const T* x, u32 dim, const Ranges& ranges, u32 bits, u8* code) {
    if (bits == 8) {
        for (u32 d = lane_id(); d < dim; d += kWarp) {
            code[d] = static_cast<u8>(cell_of(to_float(x[d]), ranges, d));
        }
        return;
    }
    for (u32 at = lane_id(); at < (dim + 1) / 2; at += kWarp) {
        u32 both = cell_of(to_float(x[2 * at]), ranges, 2 * at);
        if (2 * at + 1 < dim) both |= cell_of(to_float(x[2 * at + 1]), ranges, 2 * at + 1) << 4;
        code[at] = static_cast<u8>(both);
    }
}

}  // namespace
}  // namespace nearfield

/// Stride of rows in elements, of codes in bytes.
#define NEARFIELD_SCALAR_ENCODE(T)                                                                 \
    extern "C" __global__ void scalar_encode_##T(                                                  \
        const nearfield::T* rows, nearfield::u64 stride, nearfield::u32 count, nearfield::u32 dim, \
        const float* low, const float* inverse, float most, nearfield::u32 bits,                   \
        nearfield::u8* codes, nearfield::u64 code_stride) {                                        \
        using namespace nearfield;                                                                 \
        const u32 row = blockIdx.x * (blockDim.x / kWarp) + warp_id();                             \
        if (row >= count) return;                                                                  \
        scalar_encode(rows + row * stride, dim, {low, inverse, most}, bits,                        \
                      codes + row * code_stride);                                                  \
    }                                                                                              \
    NEARFIELD_KERNEL(scalar_encode_##T)

NEARFIELD_SCALAR_ENCODE(f32)
NEARFIELD_SCALAR_ENCODE(f16)
NEARFIELD_SCALAR_ENCODE(bf16)
