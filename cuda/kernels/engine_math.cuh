// exp, tanh and the logistic function, softmax, unit length and products of rows with matrices, to the bit
// as the CPU engine has them.
//
// Fused multiply-adds only where fmaf says so, whole powers of two, and one order of sums: products in the
// order of elements within blocks of kProductBlock, whose sums are added in order. A mapped row is the same
// bits on a GPU and on every CPU, so a search finds the same rows. NaN and infinity become NaN.
// Source: own; cpp/kernels/generic/exponential.h and multiply.h are what this repeats.
#pragma once

#include "canonical.cuh"

namespace nearfield {

constexpr u32 kProductBlock = 128;

static __device__ __forceinline__ float exponential(float x) {
    const float raised = x > -86.0f ? x : -86.0f;
    const float inside = raised < 88.0f ? raised : 88.0f;
    // Adding 1.5 * 2^23 rounds to a whole number, which then stands in the lowest bits.
    const float shift = 12582912.0f;
    const float shifted = fmaf(inside, 0x1.715476p+0f, shift);
    const float power = shifted - shift;
    float r = fmaf(power, -0x1.62e4p-1f, inside);
    r = fmaf(power, -0x1.7f7d1cp-20f, r);
    float q = fmaf(0x1.6a234ap-10f, r, 0x1.123a6cp-7f);
    q = fmaf(q, r, 0x1.5558f4p-5f);
    q = fmaf(q, r, 0x1.555490p-3f);
    q = fmaf(q, r, 0x1.fffffcp-2f);
    const float mantissa = fmaf(r * r, q, r) + 1.0f;
    const u32 bits = __float_as_uint(mantissa) + (__float_as_uint(shifted) << 23);
    return fmaf(x, 0.0f, __uint_as_float(bits));
}

static __device__ float logistic(float x) {
    const float small = exponential(-fabsf(x));
    const float top = x < 0.0f ? small : 1.0f;
    return fmaf(x, 0.0f, top / (1.0f + small));
}

static __device__ float hyperbolic_tangent(float x) {
    const float size = fabsf(x), square = x * x;
    float q = fmaf(-0x1.76abc6p-8f, square, 0x1.5256c4p-6f);
    q = fmaf(q, square, -0x1.b84446p-5f);
    q = fmaf(q, square, 0x1.110768p-3f);
    q = fmaf(q, square, -0x1.555534p-2f);
    const float near = fmaf(square * x, q, x);
    const float grown = exponential(size + size < 40.0f ? size + size : 40.0f);
    const float far = 1.0f - 2.0f / (grown + 1.0f);
    return fmaf(x, 0.0f, size < 0.625f ? near : x < 0.0f ? 0.0f - far : far);
}

/// x / sum of exponentials, in place; one warp. Sums of every 16th element, added pairwise.
static __device__ void warp_softmax(float* x, u32 n) {
    float most = -infinity();
    for (u32 j = lane_id(); j < n; j += kWarp) most = x[j] > most ? x[j] : most;
    most = warp_max(most);
    for (u32 j = lane_id(); j < n; j += kWarp) x[j] = exponential(x[j] - most);
    __syncwarp();
    float sum = 0.0f;
    for (u32 j = lane_id(); lane_id() < 16 && j < n; j += 16) sum += x[j];
    const float share = 1.0f / warp_sum(sum);
    for (u32 j = lane_id(); j < n; j += kWarp) x[j] *= share;
    __syncwarp();
}

/// Unit length, in place; rows of zeros stay. One warp.
static __device__ void warp_normalise(float* x, u32 n) {
    const double square = warp_ip(x, x, n);
    if (square == 0.0) return;
    const double inverse = 1.0 / sqrt(square);
    for (u32 j = lane_id(); j < n; j += kWarp) {
        x[j] = static_cast<float>(static_cast<double>(x[j]) * inverse);
    }
    __syncwarp();
}

/// Sums of products of R rows with one column of a matrix, elements first to last. weights: that column.
template <u32 R>
static __device__ __forceinline__ void block_sums(const float* x, u32 stride, const float* weights,
                                                  u32 outputs, u32 first, u32 last,
                                                  float (&sum)[R]) {
#pragma unroll
    for (u32 r = 0; r < R; ++r) sum[r] = 0.0f;
    for (u32 d = first; d < last; ++d) {
        const float weight = weights[static_cast<u64>(d) * outputs];
#pragma unroll
        for (u32 r = 0; r < R; ++r) sum[r] = fmaf(x[r * stride + d], weight, sum[r]);
    }
}

/// R rows of `depth` elements times a matrix of depth x outputs: store(r, j, start(r, j) + the sums of
/// blocks). Where there are fewer outputs than threads, blocks are summed side by side and kept in
/// `partials`, R * outputs * blocks floats. All threads of the block call it; ends with a barrier.
template <u32 R, class Start, class Store>
static __device__ __forceinline__ void multiply(const float* x, u32 stride, u32 depth,
                                                const float* weights, u32 outputs, float* partials,
                                                Start start, Store store) {
    const u32 blocks = (depth + kProductBlock - 1) / kProductBlock;
    float sum[R];
    if (outputs < blockDim.x && blocks > 1) {
        for (u32 task = threadIdx.x; task < blocks * outputs; task += blockDim.x) {
            const u32 j = task % outputs, first = task / outputs * kProductBlock;
            block_sums<R>(x, stride, weights + j, outputs, first, min(depth, first + kProductBlock),
                          sum);
#pragma unroll
            for (u32 r = 0; r < R; ++r) partials[task * R + r] = sum[r];
        }
        __syncthreads();
        for (u32 task = threadIdx.x; task < R * outputs; task += blockDim.x) {
            const u32 r = task % R, j = task / R;
            float total = start(r, j);
            for (u32 b = 0; b < blocks; ++b) total += partials[(b * outputs + j) * R + r];
            store(r, j, total);
        }
        __syncthreads();
        return;
    }
    for (u32 j = threadIdx.x; j < outputs; j += blockDim.x) {
        float total[R];
#pragma unroll
        for (u32 r = 0; r < R; ++r) total[r] = start(r, j);
        for (u32 first = 0; first < depth; first += kProductBlock) {
            block_sums<R>(x, stride, weights + j, outputs, first, min(depth, first + kProductBlock),
                          sum);
#pragma unroll
            for (u32 r = 0; r < R; ++r) total[r] += sum[r];
        }
#pragma unroll
        for (u32 r = 0; r < R; ++r) store(r, j, total[r]);
    }
    __syncthreads();
}

}  // namespace nearfield
