// Scores in float64: the definition of an exact search on a device, and what faster ways are held against.
//
// score(q, x), larger is better: ip <q, x>; cosine <q, x> / |x|, 0 where x is zero; l2 -|q - x|^2. Every
// product of two stored elements is exact in float64; a lane adds every 32nd dimension in order, then the
// lanes are added pairwise: the bits do not depend on batch or grid. What may not answer is -infinity: a
// row the mask leaves out, the query's own row, and a row or query that is not finite.
// A warp reads a row once for up to 8 queries. Cost: dim float64 multiply-adds a pair.
// Source: own; the order of results is that of cpp/quant/raw/exact.h.

#include "device.cuh"

namespace nearfield {
namespace {

constexpr u32 kQueries = 8;  // of one warp
constexpr i64 kMissing = static_cast<i64>(1ull << 63);

__device__ __forceinline__ bool is_finite(double x) { return x - x == 0.0; }

template <class T>
struct Matrix {
    const T* elements;
    u64 stride;
    u32 dim;
};

template <class T>
__device__ void add_up(const float* queries, const Matrix<T>& rows, u32 row, u32 count, u32 metric,
                       double (&sums)[kQueries], double& norm) {
    const T* const x = rows.elements + row * rows.stride;
    norm = 0.0;
    for (u32 j = 0; j < kQueries; ++j) sums[j] = 0.0;
    for (u32 d = lane_id(); d < rows.dim; d += kWarp) {
        const double element = static_cast<double>(to_float(x[d]));
        norm += element * element;
#pragma unroll
        for (u32 j = 0; j < kQueries; ++j) {
            if (j >= count) continue;
            const double q = static_cast<double>(queries[static_cast<u64>(j) * rows.dim + d]);
            const double apart = q - element;
            sums[j] += metric == kL2 ? -(apart * apart) : q * element;
        }
    }
    norm = warp_sum(norm);
#pragma unroll
    for (u32 j = 0; j < kQueries; ++j) sums[j] = warp_sum(sums[j]);
}

template <class T>
__device__ void exact_scores(const float* queries, u32 query_count, u32 first_query,
                             const Matrix<T>& rows, u32 row_count, u32 metric, const u8* mask,
                             u32 leaves_out_self, const u32* lengths, double* scores) {
    const u32 first = blockIdx.y * kQueries;
    const u32 count = min(kQueries, query_count - first);
    bool is_asked = lengths == nullptr;
    for (u32 j = 0; j < count; ++j) is_asked = is_asked || lengths[first + j] != 0;
    if (!is_asked) return;
    const u32 warps = gridDim.x * (blockDim.x / kWarp);
    for (u32 row = blockIdx.x * (blockDim.x / kWarp) + warp_id(); row < row_count; row += warps) {
        double sums[kQueries];
        double norm;
        add_up(queries + static_cast<u64>(first) * rows.dim, rows, row, count, metric, sums, norm);
        if (lane_id() != 0) continue;
        const bool answers = mask == nullptr || mask[row] != 0;
#pragma unroll
        for (u32 j = 0; j < kQueries; ++j) {
            if (j >= count) continue;
            double score = sums[j];
            if (metric == kCosine) score = norm > 0.0 ? score / sqrt(norm) : score;
            const bool own = leaves_out_self != 0 && first_query + first + j == row;
            const bool counts = answers && !own && is_finite(sums[j]) && is_finite(norm);
            scores[static_cast<u64>(first + j) * row_count + row] =
                counts ? score : -static_cast<double>(infinity());
        }
    }
}

template <class T>
__device__ void widen(const T* in, u64 stride, u32 rows, u32 dim, float* out) {
    for (u32 row = blockIdx.x; row < rows; row += gridDim.x) {
        for (u32 d = threadIdx.x; d < dim; d += blockDim.x) {
            out[static_cast<u64>(row) * dim + d] = to_float(in[row * stride + d]);
        }
    }
}

}  // namespace
}  // namespace nearfield

/// Grid (any, queries / 8), blocks of 32 to 128 threads, a multiple of 32. scores: queries x rows. lengths: a query of
/// length 0 need not be scored; null: all are.
#define NEARFIELD_EXACT(SUFFIX, TYPE)                                                             \
    extern "C" __global__ void __launch_bounds__(128) exact_scores_##SUFFIX(                      \
        const float* queries, nearfield::u32 query_count, nearfield::u32 first_query,             \
        const TYPE* rows, nearfield::u64 stride, nearfield::u32 row_count, nearfield::u32 dim,    \
        nearfield::u32 metric, const nearfield::u8* mask, nearfield::u32 leaves_out_self,         \
        const nearfield::u32* lengths, double* scores) {                                          \
        const nearfield::Matrix<TYPE> view{rows, stride, dim};                                    \
        nearfield::exact_scores<TYPE>(queries, query_count, first_query, view, row_count, metric, \
                                      mask, leaves_out_self, lengths, scores);                    \
    }                                                                                             \
    NEARFIELD_KERNEL(exact_scores_##SUFFIX)                                                       \
    extern "C" __global__ void widen_##SUFFIX(const TYPE* in, nearfield::u64 stride,              \
                                              nearfield::u32 rows, nearfield::u32 dim,            \
                                              float* out) {                                       \
        nearfield::widen<TYPE>(in, stride, rows, dim, out);                                       \
    }                                                                                             \
    NEARFIELD_KERNEL(widen_##SUFFIX)

NEARFIELD_EXACT(f32, float)
NEARFIELD_EXACT(f16, nearfield::f16)
NEARFIELD_EXACT(bf16, nearfield::bf16)
NEARFIELD_EXACT(i8, nearfield::i8)
NEARFIELD_EXACT(u8, nearfield::u8)

/// Queries whose lists were too short for their groups: lengths[q] = rows, else 0.
extern "C" __global__ void find_cut_lists(const nearfield::u32* counts, nearfield::u32 capacity,
                                          nearfield::u32 queries, nearfield::u32 rows,
                                          nearfield::u32* lengths) {
    const nearfield::u32 q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q < queries) lengths[q] = counts[q] > capacity ? rows : 0;
}
NEARFIELD_KERNEL(find_cut_lists)

/// Adds to *total how many lengths are not 0: queries that no scan has answered.
extern "C" __global__ void count_open(const nearfield::u32* lengths, nearfield::u32 queries,
                                      nearfield::u32* total) {
    const nearfield::u32 q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q < queries && lengths[q] != 0) atomicAdd(total, 1U);
}
NEARFIELD_KERNEL(count_open)

/// What was selected, as a caller has it: the metric's usual values, labels instead of row numbers, what
/// is missing marked. One warp a query. labels may be null. found: pairs a query; k: asked for. lengths: a
/// query of length 0 is left as it is; null: none is.
extern "C" __global__ void finish_f64(const double* scores, const nearfield::u32* rows,
                                      nearfield::u32 found, const float* queries,
                                      nearfield::u32 dim, nearfield::u32 metric,
                                      const nearfield::i64* labels, const nearfield::u32* lengths,
                                      nearfield::u32 k, nearfield::i64* out_ids, float* out_scores,
                                      nearfield::i64* out_counts) {
    using namespace nearfield;
    const u64 query = blockIdx.x;
    if (lengths != nullptr && lengths[query] == 0) return;
    double norm = 0.0;
    for (u32 d = lane_id(); d < dim; d += kWarp) {
        const double q = static_cast<double>(queries[query * dim + d]);
        norm += q * q;
    }
    norm = sqrt(warp_sum(norm));
    u32 counted = 0;
    for (u32 base = 0; base < k; base += kWarp) {
        const u32 j = base + lane_id();
        bool is_real = false;
        if (j < k) {
            double score = j < found ? scores[query * found + j] : 0.0;
            is_real = j < found && is_finite(score);
            if (metric == kCosine) score = norm > 0.0 ? score / norm : 0.0;
            if (metric == kL2) score = 0.0 - score;
            const u32 row = is_real ? rows[query * found + j] : 0;
            const i64 label = labels != nullptr && is_real ? labels[row] : static_cast<i64>(row);
            out_ids[query * k + j] = is_real ? label : kMissing;
            out_scores[query * k + j] =
                is_real ? static_cast<float>(score) : __uint_as_float(0x7fc00000u);
        }
        counted += static_cast<u32>(__popc(__ballot_sync(kAllLanes, is_real)));
    }
    if (lane_id() == 0) out_counts[query] = static_cast<i64>(counted);
}
NEARFIELD_KERNEL(finish_f64)
