// Lexical modulation of queries: exp(z - max z) * x with z = bias + sum of weight[t] * table[token t], and
// the row's length put right where asked for.
//
// Query q has the tokens from offsets[q] to offsets[q + 1], each once, in rising order.
// One block a query; shared memory 4 dim bytes. Blocks of a multiple of 32 threads, up to 1024; sums are in
// the same order for every one. table: vocabulary x dim; bias may be null.
// Cost: (tokens + 3) dim multiply-adds. Source: LexSemBridge (Jasaxion/LexSemBridge), for what z is.

#include "device.cuh"

namespace nearfield {
namespace {

using f32 = float;

/// z of every element, and the thread's largest.
__device__ float weigh(const u32* tokens, const float* weights, u64 first, u64 last,
                       const float* table, const float* bias, u32 dim, float* z) {
    float largest = -infinity();
    for (u32 k = threadIdx.x; k < dim; k += blockDim.x) {
        float sum = bias != nullptr ? bias[k] : 0.0f;
        for (u64 t = first; t < last; ++t) {
            sum = fmaf(weights[t], table[static_cast<u64>(tokens[t]) * dim + k], sum);
        }
        z[k] = sum;
        largest = fmaxf(largest, sum);
    }
    return largest;
}

/// The largest of all threads' numbers, in all threads.
__device__ float block_max(float x, float* of_warps) {
    x = warp_max(x);
    if (lane_id() == 0) of_warps[warp_id()] = x;
    __syncthreads();
    for (u32 w = 0; w < blockDim.x / kWarp; ++w) x = fmaxf(x, of_warps[w]);
    return x;
}

/// |y|, in every thread: each warp adds all of it, in the same order.
__device__ float length_of(const float* y, u32 dim) {
    double sum = 0.0;
    for (u32 k = lane_id(); k < dim; k += kWarp) {
        sum += static_cast<double>(y[k]) * static_cast<double>(y[k]);
    }
    return static_cast<float>(sqrt(warp_sum(sum)));
}

template <class T>
__device__ void modulate(const T* x, u32 dim, float largest, float* z, bool normalise, T* out) {
    for (u32 k = threadIdx.x; k < dim; k += blockDim.x)
        z[k] = expf(z[k] - largest) * to_float(x[k]);
    __syncthreads();
    const float norm = normalise ? length_of(z, dim) : 1.0f;
    const float by = norm > 0.0f ? norm : 1.0f;
    for (u32 k = threadIdx.x; k < dim; k += blockDim.x) from_float(z[k] / by, out[k]);
}

}  // namespace
}  // namespace nearfield

/// Strides in elements.
#define NEARFIELD_MODULATE(T)                                                                      \
    extern "C" __global__ void modulate_##T(                                                       \
        const nearfield::T* queries, nearfield::u64 stride, nearfield::u32 dim,                    \
        const nearfield::u64* offsets, const nearfield::u32* tokens, const float* weights,         \
        const float* table, const float* bias, nearfield::u32 normalise, nearfield::T* out,        \
        nearfield::u64 out_stride) {                                                               \
        using namespace nearfield;                                                                 \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                          \
        __shared__ float of_warps[kWarp];                                                          \
        float* const z = reinterpret_cast<float*>(shared);                                         \
        const u64 q = blockIdx.x;                                                                  \
        const float own = weigh(tokens, weights, offsets[q], offsets[q + 1], table, bias, dim, z); \
        const float largest = block_max(own, of_warps);                                            \
        modulate(queries + q * stride, dim, largest, z, normalise != 0, out + q * out_stride);     \
    }                                                                                              \
    NEARFIELD_KERNEL(modulate_##T)

NEARFIELD_MODULATE(f32)
NEARFIELD_MODULATE(f16)
NEARFIELD_MODULATE(bf16)
