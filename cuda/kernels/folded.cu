// Rows as a linear map M has them, M never applied to them: <q, M x> is the score of the folded query M^T q,
// and all that is left of M on the side of rows is |M x|, a number a row.
//
// fold_queries: M^T q in float64, as two float32 vectors, high and low, whose sum has 48 bits; M = I +
// U diag(w) V^T, or any matrix. folded_scores: float64 keys, larger is better: ip <f, x>; cosine <f, x> / |Mx|,
// 0 where that is 0; l2 2 <f, x> - |Mx|^2. Orders of sums are the CPU engine's (cpp/transform/folding.cpp,
// cpp/kernels/generic/exact.h), so results are its bits. What may not answer is -infinity, see exact.cu.
// rescore_folded: the same keys, of the rows of the groups that a scan of the high parts left over.
// finish_keys: of l2 what exact.cu turns into distances, never above 0.
// Cost: 3 dim rank float64 multiply-adds a query; 2 dim a pair. Source: own; decision 0014.

#include "group_rows.cuh"

namespace nearfield {
namespace {

constexpr u32 kQueries = 4;  // of one warp of folded_scores

template <class T>
__device__ __forceinline__ float widened(T x) {
    return to_float(x);
}
template <>
__device__ __forceinline__ float widened(i8 x) {
    return static_cast<float>(x);
}

__device__ __forceinline__ double as_float(double x) {
    return static_cast<double>(static_cast<float>(x));
}

struct Pass {
    const double* lengths;  // |Mx|; null under ip
    const u8* mask;         // or null
    u32 metric;
    u32 row_count;

    __device__ bool answers(u32 row) const { return mask == nullptr || mask[row] != 0; }
};

__device__ double key_of(double product, const Pass& pass, u32 row) {
    if (pass.metric == kIp) return product;
    const double length = pass.lengths[row];
    if (pass.metric == kL2) return 2.0 * product - length * length;
    return length > 0.0 ? product / length : 0.0;
}

/// Keys of up to Q queries and one row, by a warp: take(j, key) of each, -infinity where either is not finite.
template <u32 Q, class T, class Take>
__device__ __forceinline__ void score_row(const float* folded, u32 count, const T* x, u32 dim,
                                          u32 row, const Pass& pass, Take take) {
    double high[Q] = {}, low[Q] = {};
    for (u32 d = lane_id(); d < dim; d += kWarp) {
        const double element = static_cast<double>(widened(x[d]));
#pragma unroll
        for (u32 j = 0; j < Q; ++j) {
            if (j >= count) continue;
            const float* const f = folded + static_cast<u64>(j) * 2 * dim;
            high[j] += static_cast<double>(f[d]) * element;
            low[j] += static_cast<double>(f[dim + d]) * element;
        }
    }
#pragma unroll
    for (u32 j = 0; j < Q; ++j) {
        const double product = warp_sum(high[j]) + warp_sum(low[j]);
        if (j >= count) continue;
        const double key = key_of(product, pass, row);
        const bool counts = product - product == 0.0 && key - key == 0.0;
        take(j, counts ? key : -static_cast<double>(infinity()));
    }
}

template <class T>
__device__ void score_rows(const float* folded, u32 count, const T* rows, u64 stride, u32 dim,
                           const Pass& pass, double* keys) {
    const u32 warps = gridDim.x * (blockDim.x / kWarp);
    for (u32 row = blockIdx.x * (blockDim.x / kWarp) + warp_id(); row < pass.row_count;
         row += warps) {
        score_row<kQueries>(folded, count, rows + row * stride, dim, row, pass,
                            [&](u32 j, double key) {
                                if (lane_id() != 0) return;
                                keys[static_cast<u64>(j) * pass.row_count + row] =
                                    pass.answers(row) ? key : -static_cast<double>(infinity());
                            });
    }
}

/// Some of the queries are asked; null: all are.
__device__ bool are_asked(const u32* asked, u32 count) {
    bool any = asked == nullptr;
    for (u32 j = 0; j < count; ++j) any = any || asked[j] != 0;
    return any;
}

}  // namespace
}  // namespace nearfield

/// A block a query. left: U, dim x rank, null for a matrix; right: V^T, rank x dim, or the matrix, rank = dim.
/// factors: 2 rank a query, scratch. folded: high and low, 2 dim a query.
extern "C" __global__ void __launch_bounds__(128)
    fold_queries(const float* queries, nearfield::u32 dim, nearfield::u32 rank, const double* left,
                 const double* weights, const double* right, double* factors, float* folded) {
    using namespace nearfield;
    const float* const q = queries + static_cast<u64>(blockIdx.x) * dim;
    double* const own = factors + static_cast<u64>(blockIdx.x) * 2 * rank;
    float* const out = folded + static_cast<u64>(blockIdx.x) * 2 * dim;
    const bool is_matrix = left == nullptr;
    for (u32 j = threadIdx.x; j < rank && !is_matrix; j += blockDim.x) {
        double sum = 0.0;
        for (u32 k = 0; k < dim; ++k) {
            sum += static_cast<double>(q[k]) * left[static_cast<u64>(k) * rank + j];
        }
        const double factor = sum * weights[j];
        own[j] = as_float(factor);
        own[rank + j] = as_float(factor - own[j]);
    }
    __syncthreads();
    for (u32 k = threadIdx.x; k < dim; k += blockDim.x) {
        double sum = 0.0;
        for (u32 j = 0; j < (is_matrix ? rank : 2 * rank); ++j) {
            const double factor = is_matrix ? static_cast<double>(q[j]) : own[j];
            sum += factor * right[static_cast<u64>(j % rank) * dim + k];
        }
        if (!is_matrix) sum += static_cast<double>(q[k]);
        out[k] = static_cast<float>(sum);
        out[dim + k] = static_cast<float>(sum - static_cast<double>(out[k]));
    }
}
NEARFIELD_KERNEL(fold_queries)

/// Grid (any, queries / 4), blocks of a multiple of 32 threads. keys: queries x rows. asked: a query of 0 need
/// not be scored; null: all are.
#define NEARFIELD_FOLDED_SCORES(SUFFIX, TYPE)                                                     \
    extern "C" __global__ void __launch_bounds__(128, 4) folded_scores_##SUFFIX(                  \
        const float* folded, nearfield::u32 query_count, const TYPE* rows, nearfield::u64 stride, \
        nearfield::u32 row_count, nearfield::u32 dim, nearfield::u32 metric,                      \
        const double* lengths, const nearfield::u8* mask, const nearfield::u32* asked,            \
        double* keys) {                                                                           \
        using namespace nearfield;                                                                \
        const u32 first = blockIdx.y * kQueries, count = min(kQueries, query_count - first);      \
        if (!are_asked(asked != nullptr ? asked + first : nullptr, count)) return;                \
        score_rows(folded + static_cast<u64>(first) * 2 * dim, count, rows, stride, dim,          \
                   {lengths, mask, metric, row_count},                                            \
                   keys + static_cast<u64>(first) * row_count);                                   \
    }                                                                                             \
    NEARFIELD_KERNEL(folded_scores_##SUFFIX)

NEARFIELD_FOLDED_SCORES(f32, float)
NEARFIELD_FOLDED_SCORES(f16, nearfield::f16)
NEARFIELD_FOLDED_SCORES(bf16, nearfield::bf16)
NEARFIELD_FOLDED_SCORES(i8, nearfield::i8)
NEARFIELD_FOLDED_SCORES(u8, nearfield::u8)

/// Grid (queries, slices), blocks of a multiple of 32 threads. lists, counts, capacity, keys, ids and pairs as
/// rescore.cu has them.
#define NEARFIELD_RESCORE_FOLDED(SUFFIX, TYPE)                                                  \
    extern "C" __global__ void __launch_bounds__(128) rescore_folded_##SUFFIX(                  \
        const float* folded, const TYPE* rows, nearfield::u64 stride, nearfield::u32 row_count, \
        nearfield::u32 dim, nearfield::u32 metric, const double* lengths,                       \
        const nearfield::u8* mask, const nearfield::u32* lists, const nearfield::u32* counts,   \
        nearfield::u32 capacity, double* keys, nearfield::u32* ids, nearfield::u32* pairs) {    \
        using namespace nearfield;                                                              \
        const u64 q = blockIdx.x, places = q * capacity * kGroupRows;                           \
        const u32 count = min(counts[q], capacity);                                             \
        if (blockIdx.y == 0 && threadIdx.x == 0) pairs[q] = count * kGroupRows;                 \
        const Pass pass = {lengths, mask, metric, row_count};                                   \
        score_groups(                                                                           \
            count, keys + places, ids + places,                                                 \
            [&](u32 slot) { return Span{lists[q * capacity + slot] * kGroupRows, row_count}; }, \
            [&](u32 row) { return pass.answers(row) ? row : kNoId; },                           \
            [&](u32 row) {                                                                      \
                double key = 0.0;                                                               \
                score_row<1>(folded + q * 2 * dim, 1, rows + row * stride, dim, row, pass,      \
                             [&](u32, double found) { key = found; });                          \
                return key;                                                                     \
            });                                                                                 \
    }                                                                                           \
    NEARFIELD_KERNEL(rescore_folded_##SUFFIX)

NEARFIELD_RESCORE_FOLDED(f32, float)
NEARFIELD_RESCORE_FOLDED(f16, nearfield::f16)
NEARFIELD_RESCORE_FOLDED(bf16, nearfield::bf16)
NEARFIELD_RESCORE_FOLDED(i8, nearfield::i8)
NEARFIELD_RESCORE_FOLDED(u8, nearfield::u8)

/// A warp a query, `found` keys each: a key of l2 less |q|^2. asked: as above.
extern "C" __global__ void finish_keys(const float* queries, nearfield::u32 dim,
                                       const nearfield::u32* asked, nearfield::u32 found,
                                       double* keys) {
    using namespace nearfield;
    if (asked != nullptr && asked[blockIdx.x] == 0) return;
    const float* const q = queries + static_cast<u64>(blockIdx.x) * dim;
    const double square = warp_ip(q, q, dim);
    for (u32 j = lane_id(); j < found; j += kWarp) {
        double& key = keys[static_cast<u64>(blockIdx.x) * found + j];
        const double moved = key - square;
        key = moved < 0.0 ? moved : 0.0;
    }
}
NEARFIELD_KERNEL(finish_keys)
