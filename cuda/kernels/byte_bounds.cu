// How far scores of bytes can be from those of the rows they stand for, row by row and query by query.
//
// q u = p + d: p the codes that are multiplied, u the query's unit. x = s c + r: c the codes, s their scale
// (under cosine of x / |x|). Then
//   u <q, x> = s <p, c> + <p, r> + <d, x>  <=  s <p, c> + |p| |r| + |d| |x|          Cauchy-Schwarz, twice
// row_bounds leaves off = |r| and size = |x| (cosine: 1), query_bounds reach = |p| and lost = |d|; both are
// measured from the scales as float32 has them, and raised by what follows is lost beyond that:
//   five float32 operations turn a sum of codes into a bound (bound_maxima.cuh), 5 2^-24 of its terms'
//   sizes, of which s |p| |c| is at most |p| (|x| + |r|): 2^-20 of each is added, and taken from |x|^2 / 2;
//   2^-120 and more is added for what float32 cannot hold;
//   a key in float64 is off by less than 2^-40 of |q| |x|: dim / 32 + 8 roundings, dim at most 2^16.
// What cannot be bounded so, or would overflow, is bounded by infinity: such a row is always scored exactly,
// such a query takes all groups. No sum is ever -infinity or NaN but those of rows that may not answer.
// floors_of_keys: what the bound of a row reaches whose key is a query's k-th or better. Under l2 it is
// u (|q|^2 - |q - x|^2) / 2, less 2^-40 of both for the roundings of keys; -infinity where there are fewer rows.
// Cost: one read of the rows and their codes. Source: own; docs/decisions/0025-bytes-with-bounds.md.

#include "canonical.cuh"

namespace nearfield {
namespace {

using f32 = float;
constexpr double kMore = 1.0 + 0x1p-20;

__device__ bool is_bounded(double norm, u32 metric) {
    return norm < (metric == kCosine ? 0x1p200 : metric == kIp ? 0x1p100 : 0x1p45);
}

template <class T>
__device__ void bound_row(const T* x, const u8* code, u32 dim, u32 metric, double norm,
                          float* scale, float* bias, float* size, float* off) {
    const double length = metric == kCosine && norm > 0.0 ? norm : 1.0;
    const double step = static_cast<double>(*scale);
    double residual = 0.0;
    for (u32 k = lane_id(); k < dim; k += kWarp) {
        const double value = static_cast<double>(to_float(x[k])) / length;
        const double left = value - step * (static_cast<i32>(code[k]) - 128);
        residual += left * left;
    }
    residual = sqrt(warp_sum(residual));
    if (lane_id() != 0) return;
    const bool bounded = is_bounded(norm, metric) && residual < 0x1p100;
    if (!bounded) *scale = 0.0f;
    *off = bounded ? __double2float_ru(residual * kMore + 0x1p-100) : infinity();
    const double measure = metric != kCosine ? norm : norm > 0.0 ? 1.0 : 0.0;
    *size = bounded ? __double2float_ru(measure) : 0.0f;
    if (bias == nullptr) return;
    *bias = bounded ? __double2float_ru(-0.5 * norm * norm * (1.0 - 0x1p-20)) : 0.0f;
}

}  // namespace
}  // namespace nearfield

/// A warp a row, blocks of a multiple of 32 threads; strides in elements and bytes. Codes, norms and scale
/// as encode_rows leaves them; scale becomes 0 where a row is bounded by infinity. bias may be null.
#define NEARFIELD_ROW_BOUNDS(T)                                                                    \
    extern "C" __global__ void row_bounds_##T(                                                     \
        const nearfield::T* rows, nearfield::u64 stride, nearfield::u32 count, nearfield::u32 dim, \
        nearfield::u32 metric, const nearfield::u8* codes, nearfield::u64 code_stride,             \
        const double* norms, float* scale, float* bias, float* size, float* off) {                 \
        using namespace nearfield;                                                                 \
        const u32 row = blockIdx.x * (blockDim.x / kWarp) + warp_id();                             \
        if (row >= count) return;                                                                  \
        bound_row(rows + row * stride, codes + row * code_stride, dim, metric, norms[row],         \
                  scale + row, bias != nullptr ? bias + row : nullptr, size + row, off + row);     \
    }                                                                                              \
    NEARFIELD_KERNEL(row_bounds_##T)

NEARFIELD_ROW_BOUNDS(f32)
NEARFIELD_ROW_BOUNDS(f16)
NEARFIELD_ROW_BOUNDS(bf16)

/// A warp a query, blocks of a multiple of 32 threads; strides in elements. codes and unit as
/// prepare_queries_i8 leaves them.
extern "C" __global__ void query_bounds(const float* queries, nearfield::u64 stride,
                                        nearfield::u32 count, nearfield::u32 dim,
                                        nearfield::u32 metric, const nearfield::i8* codes,
                                        nearfield::u64 code_stride, const float* unit, float* reach,
                                        float* lost) {
    using namespace nearfield;
    const u32 q = blockIdx.x * (blockDim.x / kWarp) + warp_id();
    if (q >= count) return;
    const double u = static_cast<double>(unit[q]);
    double whole = 0.0, rest = 0.0;
    for (u32 k = lane_id(); k < dim; k += kWarp) {
        const double code = static_cast<double>(codes[q * code_stride + k]);
        const double left = static_cast<double>(queries[q * stride + k]) * u - code;
        whole += code * code;
        rest += left * left;
    }
    whole = sqrt(warp_sum(whole));
    rest = sqrt(warp_sum(rest));
    if (lane_id() != 0) return;
    // Under l2 a bias of up to 2^89 is multiplied by the unit.
    const bool bounded = rest < 0x1p30 && u <= (metric == kL2 ? 0x1p36 : 0x1p61);
    reach[q] = bounded ? __double2float_ru(whole * kMore + 0x1p-20) : infinity();
    lost[q] = bounded ? __double2float_ru(rest * kMore + (whole + 1.0) * 0x1p-20) : 0.0f;
}
NEARFIELD_KERNEL(query_bounds)

/// A thread a query. keys: k a query, falling. norms: |q|.
extern "C" __global__ void floors_of_keys(const double* keys, nearfield::u32 k,
                                          nearfield::u32 metric, const float* unit,
                                          const double* norms, nearfield::u32 queries,
                                          float* floors) {
    using namespace nearfield;
    const u32 q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= queries) return;
    const double key = keys[static_cast<u64>(q) * k + k - 1], u = static_cast<double>(unit[q]);
    double floor = key * u;
    double lost = fabs(floor) * 0x1p-50;
    if (metric == kL2) {
        const double square = norms[q] * norms[q];
        floor = 0.5 * u * (square + key);
        lost = 0.5 * u * (square - key) * 0x1p-40;
    }
    const bool is_there = key > -static_cast<double>(infinity());
    floors[q] = is_there ? -__double2float_ru(lost - floor) : -infinity();
}
NEARFIELD_KERNEL(floors_of_keys)
