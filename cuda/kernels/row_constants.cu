// What a scan knows of every row beforehand, and the codes of rows that are scanned as bytes.
//
// norms[x] = |x| in float64 (exact order); scale and bias turn products into scores: cosine scale = 1 / |x|
// (0 for a zero row), l2 bias = -|x|^2 / 2; each may be null where the metric has none. limits[0] is raised
// to the largest |x| (cosine: 1), limits[1] to the largest residual of codes (cosine: over |x|); infinite
// where float32 cannot carry the sums. Set both to 0 before.
// encode_rows: code = round(x / step) + 128 in 1..255, step = max |x| / 127; scale has the step in it.
// These are the codes of cpp/quant/raw, bit by bit; rows of zeros have the code 128 throughout.
// mapped_constants: of rows as a linear map M has them and folded queries score them (folded.cu), from |x| and
// |M x|: scale = 1 / |M x|, bias = -|M x|^2 / 2, and -infinity where mask is 0; limits[0] is raised to the
// largest |x| (cosine: |x| / |M x|; l2: or |M x|, if that is larger), as margin.cuh needs it.
// round_rows: float32 rows to halves, constants of the rows as they were.
// A warp a row, blocks of a multiple of 32 threads. Metric: 0 ip, 1 l2, 2 cosine.
// Cost: one or two reads of the rows. Source: own.

#include "canonical.cuh"

namespace nearfield {
namespace {

__device__ u32 row_of_warp() { return blockIdx.x * (blockDim.x / kWarp) + warp_id(); }

/// Positive floats order as their bits do; NaN is above infinity.
__device__ void raise(float* limit, float to) {
    u32* const bits = reinterpret_cast<u32*>(limit);
    const u32 wanted = __float_as_uint(to) & 0x7fffffffu;
    if (wanted > *bits) atomicMax(bits, wanted);
}

/// Neither products with it nor divisions by it leave float32.
__device__ bool is_plain(double norm) { return norm == 0.0 || (norm > 0x1p-60 && norm < 0x1p60); }

__device__ void write_constants(double norm, double step, u32 metric, u32 row, double* norms,
                                float* scale, float* bias, float* limits) {
    norms[row] = norm;
    if (scale != nullptr) {
        const double factor = metric != kCosine ? step : norm > 0.0 ? step / norm : 0.0;
        scale[row] = static_cast<float>(factor);
    }
    if (bias != nullptr) bias[row] = static_cast<float>(-0.5 * norm * norm);
    const float length = metric == kCosine ? 1.0f : __double2float_ru(norm);
    raise(limits, metric == kCosine && !is_plain(norm) ? infinity() : length);
}

/// What margin_of needs instead of |x|.
__device__ double mapped_limit(double norm, double length, u32 metric) {
    if (metric == kIp) return norm;
    if (metric == kL2) return norm < length ? length : norm;
    if (!is_plain(norm) || !is_plain(length)) return infinity();
    return length > 0.0 ? norm / length : 0.0;
}

template <class T>
__device__ void row_constants(const T* rows, u64 stride, u32 count, u32 dim, u32 metric,
                              double* norms, float* scale, float* bias, float* limits) {
    const u32 row = row_of_warp();
    if (row >= count) return;
    const T* const x = rows + row * stride;
    const double norm = sqrt(warp_ip(x, x, dim));
    if (lane_id() == 0) write_constants(norm, 1.0, metric, row, norms, scale, bias, limits);
}

template <class T>
__device__ void encode_row(const T* rows, u64 stride, u32 count, u32 dim, u32 metric, u8* codes,
                           u64 code_stride, double* norms, float* scale, float* bias,
                           float* limits) {
    const u32 row = row_of_warp();
    if (row >= count) return;
    const T* const x = rows + row * stride;
    u8* const code = codes + row * code_stride;
    const double norm = sqrt(warp_ip(x, x, dim));
    const double share = static_cast<double>(warp_largest(x, dim)) / 127.0;
    const double step = share > 0x1p-100 ? share : 0x1p-100;
    const float inverse = static_cast<float>(1.0 / step);
    double residual = 0.0;
    for (u32 k = lane_id(); k < code_stride; k += kWarp) {
        const float value = k < dim ? to_float(x[k]) : 0.0f;
        const i32 whole = max(-127, min(127, __float2int_rn(value * inverse)));
        code[k] = static_cast<u8>(whole + 128);
        const double off = static_cast<double>(value) - step * static_cast<double>(whole);
        residual += off * off;
    }
    residual = sqrt(warp_sum(residual));
    if (lane_id() != 0) return;
    write_constants(norm, step, metric, row, norms, scale, bias, limits);
    const double share_of_norm = norm > 0.0 ? residual / norm : 0.0;
    raise(limits + 1, __double2float_ru(metric == kCosine ? share_of_norm : residual));
}

template <class T>
__device__ void round_row(const float* rows, u64 stride, u32 count, u32 dim, u32 metric, T* out,
                          u64 out_stride, double* norms, float* scale, float* bias, float* limits) {
    const u32 row = row_of_warp();
    if (row >= count) return;
    const float* const x = rows + row * stride;
    T* const y = out + row * out_stride;
    const double norm = sqrt(warp_ip(x, x, dim));
    double residual = 0.0;
    for (u32 k = lane_id(); k < out_stride; k += kWarp) {
        const float value = k < dim ? x[k] : 0.0f;
        from_float(value, y[k]);
        const double off = static_cast<double>(value) - static_cast<double>(to_float(y[k]));
        residual += off * off;
    }
    residual = sqrt(warp_sum(residual));
    if (lane_id() != 0) return;
    write_constants(norm, 1.0, metric, row, norms, scale, bias, limits);
    const double share_of_norm = norm > 0.0 ? residual / norm : 0.0;
    raise(limits + 1, __double2float_ru(metric == kCosine ? share_of_norm : residual));
}

}  // namespace
}  // namespace nearfield

/// Stride in elements.
#define NEARFIELD_ROW_CONSTANTS(T)                                                                 \
    extern "C" __global__ void row_constants_##T(                                                  \
        const nearfield::T* rows, nearfield::u64 stride, nearfield::u32 count, nearfield::u32 dim, \
        nearfield::u32 metric, double* norms, float* scale, float* bias, float* limits) {          \
        nearfield::row_constants(rows, stride, count, dim, metric, norms, scale, bias, limits);    \
    }                                                                                              \
    NEARFIELD_KERNEL(row_constants_##T)

/// code_stride >= dim, in bytes; codes past dim are 128.
#define NEARFIELD_ENCODE_ROWS(T)                                                                   \
    extern "C" __global__ void encode_rows_##T(                                                    \
        const nearfield::T* rows, nearfield::u64 stride, nearfield::u32 count, nearfield::u32 dim, \
        nearfield::u32 metric, nearfield::u8* codes, nearfield::u64 code_stride, double* norms,    \
        float* scale, float* bias, float* limits) {                                                \
        nearfield::encode_row(rows, stride, count, dim, metric, codes, code_stride, norms, scale,  \
                              bias, limits);                                                       \
    }                                                                                              \
    NEARFIELD_KERNEL(encode_rows_##T)

namespace nearfield {
using f32 = float;
}

NEARFIELD_ROW_CONSTANTS(f32)
NEARFIELD_ROW_CONSTANTS(f16)
NEARFIELD_ROW_CONSTANTS(bf16)
NEARFIELD_ROW_CONSTANTS(u8)
NEARFIELD_ROW_CONSTANTS(i8)
NEARFIELD_ROW_CONSTANTS(e8)
NEARFIELD_ENCODE_ROWS(f32)
NEARFIELD_ENCODE_ROWS(f16)
NEARFIELD_ENCODE_ROWS(bf16)

/// Strides in elements, out_stride >= dim; elements past dim are zero.
#define NEARFIELD_ROUND_ROWS(T)                                                               \
    extern "C" __global__ void round_rows_##T(                                                \
        const float* rows, nearfield::u64 stride, nearfield::u32 count, nearfield::u32 dim,   \
        nearfield::u32 metric, nearfield::T* out, nearfield::u64 out_stride, double* norms,   \
        float* scale, float* bias, float* limits) {                                           \
        nearfield::round_row(rows, stride, count, dim, metric, out, out_stride, norms, scale, \
                             bias, limits);                                                   \
    }                                                                                         \
    NEARFIELD_KERNEL(round_rows_##T)

NEARFIELD_ROUND_ROWS(f16)
NEARFIELD_ROUND_ROWS(bf16)

/// A thread a row. lengths: |M x|, null under ip. scale, bias: null where there is none.
extern "C" __global__ void mapped_constants(const double* norms, const double* lengths,
                                            const nearfield::u8* mask, nearfield::u32 count,
                                            nearfield::u32 metric, float* scale, float* bias,
                                            float* limits) {
    using namespace nearfield;
    const u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= count) return;
    const double length = lengths != nullptr ? lengths[row] : 0.0;
    if (scale != nullptr) scale[row] = length > 0.0 ? static_cast<float>(1.0 / length) : 0.0f;
    if (bias != nullptr) {
        const bool answers = mask == nullptr || mask[row] != 0;
        const double of_length = metric == kL2 ? -0.5 * length * length : 0.0;
        bias[row] = answers ? static_cast<float>(of_length) : -infinity();
    }
    raise(limits, __double2float_ru(mapped_limit(norms[row], length, metric)));
}
NEARFIELD_KERNEL(mapped_constants)
