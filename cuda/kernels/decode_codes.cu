// Rows read back from codes, the bits that the quantizers of cpp/quant decode; see cpp/quant/decoding.h.
//
// A block a row, any number of threads. Codes of code_size bytes lie code_stride bytes apart, rows `stride`
// elements; those past dim are not written. decode_grid needs 4 rotated_dim bytes of shared memory, or none and
// in_shared 0: then it works in the row itself, which must have room for rotated_dim elements.
// rotate_queries: queries as rows of a rotating product quantizer come out; a warp an element.
// Cost: one write of the rows; decode_grid rounds log2(window) additions an element beside it; rotate_queries
// dim float64 multiply-adds an element. Source: own.

#include "canonical.cuh"

namespace nearfield {
namespace {

/// Number j of a code of `size` bytes, lowest bit first.
__device__ __forceinline__ u32 number_of(const u8* code, u32 size, u32 j, u32 bits) {
    const u64 first = static_cast<u64>(j) * bits;
    const u32 at = static_cast<u32>(first / 8);
    u32 word = code[at];
    if (at + 1 < size) word |= static_cast<u32>(code[at + 1]) << 8;
    if (at + 2 < size) word |= static_cast<u32>(code[at + 2]) << 16;
    return word >> (first % 8) & ((1u << bits) - 1);
}

/// What a grid code keeps before its planes.
struct GridHead {
    float scale;
    float unbiased;
    float norm;
    float along;
};
constexpr u32 kHeadBytes = 16;

__device__ __forceinline__ float float_at(const u8* bytes) {
    return __uint_as_float(static_cast<u32>(bytes[0]) | static_cast<u32>(bytes[1]) << 8 |
                           static_cast<u32>(bytes[2]) << 16 | static_cast<u32>(bytes[3]) << 24);
}

/// The scale of a code; 0 for bytes that no row is encoded as.
__device__ double scale_of(const u8* code, double middle, u32 rotated_dim) {
    const GridHead head = {float_at(code), float_at(code + 4), float_at(code + 8),
                           float_at(code + 12)};
    const double longest =
        static_cast<double>(head.unbiased) * middle * sqrt(static_cast<double>(rotated_dim));
    const bool sound = head.scale >= 0.0f && head.scale <= head.unbiased && head.norm >= 0.0f &&
                       head.norm <= static_cast<float>(1.01 * 1e36) && longest <= 1e38 &&
                       head.along - head.along == 0.0f;
    return sound ? static_cast<double>(head.scale) : 0.0;
}

/// Sums and differences of elements h apart, of n of them, by the whole block.
__device__ void butterflies(float* x, u32 n, u32 h) {
    for (u32 i = threadIdx.x; i < n / 2; i += blockDim.x) {
        const u32 low = i / h * 2 * h + i % h;
        const float a = x[low], b = x[low + h];
        x[low] = a + b;
        x[low + h] = a - b;
    }
    __syncthreads();
}

struct Rounds {
    const float* factors;
    u32 dim;
    u32 window;
    u32 count;
};

/// In the order of cpp/kernels/generic/rotate.h.
__device__ void rotate_back(float* x, const Rounds& rounds) {
    for (u32 r = rounds.count; r-- > 0;) {
        if (rounds.window != rounds.dim) butterflies(x, rounds.dim, rounds.dim / 2);
        float* const part = x + (r % 2 == 0 ? 0 : rounds.dim - rounds.window);
        for (u32 h = 1; h < rounds.window; h *= 2) butterflies(part, rounds.window, h);
        const float* const factors = rounds.factors + static_cast<u64>(r) * rounds.dim;
        for (u32 k = threadIdx.x; k < rounds.dim; k += blockDim.x) x[k] *= factors[k];
        __syncthreads();
    }
}

}  // namespace
}  // namespace nearfield

/// table: dim values of code 0, dim widths of a cell.
extern "C" __global__ void decode_scalar(const nearfield::u8* codes, nearfield::u64 code_stride,
                                         nearfield::u32 dim, nearfield::u32 bits,
                                         nearfield::u32 code_size, const float* table, float* rows,
                                         nearfield::u64 stride) {
    using namespace nearfield;
    const u8* const code = codes + blockIdx.x * code_stride;
    float* const row = rows + blockIdx.x * stride;
    for (u32 k = threadIdx.x; k < dim; k += blockDim.x) {
        const float number = static_cast<float>(number_of(code, code_size, k, bits));
        row[k] = table[dim + k] * number + table[k];
    }
}
NEARFIELD_KERNEL(decode_scalar)

/// table: dim / width books of 2^bits centroids of `width` elements.
extern "C" __global__ void decode_books(const nearfield::u8* codes, nearfield::u64 code_stride,
                                        nearfield::u32 dim, nearfield::u32 bits,
                                        nearfield::u32 code_size, nearfield::u32 width,
                                        const float* table, float* rows, nearfield::u64 stride) {
    using namespace nearfield;
    const u8* const code = codes + blockIdx.x * code_stride;
    float* const row = rows + blockIdx.x * stride;
    for (u32 k = threadIdx.x; k < dim; k += blockDim.x) {
        const u32 book = k / width;
        const u64 centroid =
            (static_cast<u64>(book) << bits) + number_of(code, code_size, book, bits);
        row[k] = table[centroid * width + k % width];
    }
}
NEARFIELD_KERNEL(decode_books)

/// table: rounds x rotated_dim factors, then the centre.
extern "C" __global__ void decode_grid(const nearfield::u8* codes, nearfield::u64 code_stride,
                                       nearfield::u32 dim, nearfield::u32 bits,
                                       nearfield::u32 rotated_dim, nearfield::u32 window,
                                       nearfield::u32 rounds, const float* table,
                                       nearfield::u32 in_shared, float* rows,
                                       nearfield::u64 stride) {
    using namespace nearfield;
    NEARFIELD_DYNAMIC_SHARED(shared);
    const u8* const code = codes + blockIdx.x * code_stride;
    const u8* const planes = code + kHeadBytes;
    float* const row = rows + blockIdx.x * stride;
    float* const x = in_shared != 0 ? reinterpret_cast<float*>(shared) : row;
    const double middle = static_cast<double>(1u << (bits - 1)) - 0.5;
    const double scale = scale_of(code, middle, rotated_dim);
    for (u32 k = threadIdx.x; k < rotated_dim; k += blockDim.x) {
        u32 value = 0;
        for (u32 plane = 0; plane < bits; ++plane) {
            const u32 byte = planes[plane * (rotated_dim / 8) + k / 8];
            value = 2 * value + (byte >> k % 8 & 1u);
        }
        x[k] = static_cast<float>((static_cast<double>(value) - middle) * scale);
    }
    __syncthreads();
    rotate_back(x, {table, rotated_dim, window, rounds});
    const float* const centre = table + static_cast<u64>(rounds) * rotated_dim;
    for (u32 k = threadIdx.x; k < dim; k += blockDim.x) row[k] = centre[k] + x[k];
}
NEARFIELD_KERNEL(decode_grid)

/// Grid (queries, any), blocks of a multiple of 32 threads. rotation: dim x dim. Rows lie one behind the other.
extern "C" __global__ void rotate_queries(const float* queries, nearfield::u32 dim,
                                          const float* rotation, float* out) {
    using namespace nearfield;
    const float* const q = queries + static_cast<u64>(blockIdx.x) * dim;
    const u32 warps = gridDim.y * (blockDim.x / kWarp);
    for (u32 k = blockIdx.y * (blockDim.x / kWarp) + warp_id(); k < dim; k += warps) {
        const double sum = warp_ip(q, rotation + static_cast<u64>(k) * dim, dim);
        if (lane_id() == 0) out[static_cast<u64>(blockIdx.x) * dim + k] = static_cast<float>(sum);
    }
}
NEARFIELD_KERNEL(rotate_queries)
