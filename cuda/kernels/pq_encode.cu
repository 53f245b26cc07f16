// Product quantization: the codes of rows, bit for bit those of cpp/quant/pq.
//
// Sub-quantizer j has k = 2^nbits centroids of `width` elements, prepared as Codebooks has them: elements are
// moved, z = (x - centre) * scale within +-limit, weights are minus the moved centroids, bias is half their
// squared length. The code is the smallest c with the smallest bias[c] + sum over d of weights[c][d] * z[d],
// fused multiply-adds in the order of d. nbits is 8 or 4: then even sub-quantizers are low halves of a byte.
// Grid (rows / threads, bytes of a code): a block has one byte of its rows' codes, the centroids that decide
// it and the rows' elements in shared memory: 4 width (k + threads) * 8 / nbits bytes.
// Cost: 2 k dim operations a row, one read of the rows. Source: Jegou, Douze, Schmid, "Product quantization
// for nearest neighbor search" (2011).

#include "device.cuh"

namespace nearfield {
namespace {

using f32 = float;
constexpr u32 kAtOnce = 4;  // centroids; k is a multiple of it

struct Codebooks {
    const float* centre;   // dim
    const float* scale;    // dim
    const float* weights;  // m x k x width
    const float* bias;     // m x k
    float limit;
    u32 m, width, nbits;
};

/// The nearest centroid of one thread's elements, `pitch` apart.
__device__ u32 nearest_centroid(const float* z, u32 pitch, const float* weights, const float* bias,
                                u32 k, u32 width) {
    float best = infinity();
    u32 nearest = 0;
    for (u32 c = 0; c < k; c += kAtOnce) {
        float sum[kAtOnce];
#pragma unroll
        for (u32 i = 0; i < kAtOnce; ++i) sum[i] = bias[c + i];
        for (u32 d = 0; d < width; ++d) {
            const float element = z[d * pitch];
#pragma unroll
            for (u32 i = 0; i < kAtOnce; ++i) {
                sum[i] = fmaf(weights[(c + i) * width + d], element, sum[i]);
            }
        }
#pragma unroll
        for (u32 i = 0; i < kAtOnce; ++i) {
            if (sum[i] < best) {
                best = sum[i];
                nearest = c + i;
            }
        }
    }
    return nearest;
}

template <class T>
__device__ void encode(const T* rows, u64 stride, u32 count, const Codebooks& books, u8* codes,
                       u64 code_stride, float* shared) {
    const u32 k = 1u << books.nbits, in_byte = 8 / books.nbits;
    const u32 first = blockIdx.y * in_byte, subs = min(in_byte, books.m - first);
    const u32 size = k * books.width;
    float* const weights = shared;
    float* const z = shared + in_byte * size;
    const u64 from = static_cast<u64>(first) * size;
    for (u32 i = threadIdx.x; i < subs * size; i += blockDim.x)
        weights[i] = books.weights[from + i];
    const u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    for (u32 d = 0; d < subs * books.width; ++d) {
        const u32 at = first * books.width + d;
        const float x = row < count ? to_float(rows[row * stride + at]) : 0.0f;
        const float moved = (x - books.centre[at]) * books.scale[at];
        z[d * blockDim.x + threadIdx.x] = fminf(fmaxf(moved, -books.limit), books.limit);
    }
    __syncthreads();
    if (row >= count) return;
    u32 code = 0;
    for (u32 s = 0; s < subs; ++s) {
        const u32 nearest =
            nearest_centroid(z + s * books.width * blockDim.x + threadIdx.x, blockDim.x,
                             weights + s * size, books.bias + (first + s) * k, k, books.width);
        code |= nearest << s * books.nbits;
    }
    codes[row * code_stride + blockIdx.y] = static_cast<u8>(code);
}

}  // namespace
}  // namespace nearfield

/// Stride of rows in elements, of codes in bytes.
#define NEARFIELD_PQ_ENCODE(T)                                                            \
    extern "C" __global__ void pq_encode_##T(                                             \
        const nearfield::T* rows, nearfield::u64 stride, nearfield::u32 count,            \
        const float* centre, const float* scale, const float* weights, const float* bias, \
        float limit, nearfield::u32 m, nearfield::u32 width, nearfield::u32 nbits,        \
        nearfield::u8* codes, nearfield::u64 code_stride) {                               \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                 \
        nearfield::encode(rows, stride, count,                                            \
                          {centre, scale, weights, bias, limit, m, width, nbits}, codes,  \
                          code_stride, reinterpret_cast<float*>(shared));                 \
    }                                                                                     \
    NEARFIELD_KERNEL(pq_encode_##T)

NEARFIELD_PQ_ENCODE(f32)
NEARFIELD_PQ_ENCODE(f16)
NEARFIELD_PQ_ENCODE(bf16)
