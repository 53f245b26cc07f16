// The rest of a search by thresholds: a sample of the rows, thresholds from it, and which rows that reached
// them are scored exactly.
//
// Sample row i is row 64 i + h(i) % 64: one of every 64 rows, wherever like rows lie beside each other. Of
// the k best at most as many are in it as with independent draws (Hoeffding), so the r-th best of the sample
// is rarely above the k-th best of all. It need not be below: a query is proven only if its list was not
// cut, holds k scores, and the k-th best of them is two margins above the threshold. All that is within two
// margins of it, hence all winners and ties, is then in the list. Other queries are left to an exact pass.
// Cost: a read of 1/64 of the rows; `capacity` scores a query. Source: own; Hoeffding, "On the distribution of
// the number of successes in independent trials" (1956), for the sample.

#include "canonical.cuh"

namespace nearfield {
namespace {

using f32 = float;
constexpr u32 kStratum = 64;

/// All bits of x in all bits of the result.
__device__ u32 mixed(u32 x) {
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

template <class T>
__device__ void rescore_row(const float* q, const T* rows, u64 stride, u32 dim, u32 metric,
                            const double* norms, u32 row, double* key) {
    const double norm = metric == kCosine ? norms[row] : 1.0;
    const double exact = exact_key(q, rows + row * stride, dim, metric, norm);
    if (lane_id() == 0) *key = exact;
}

template <class T>
__device__ void sample_row(const T* rows, u64 stride, u32 words, const float* scale,
                           const float* bias, T* out, u64 out_stride, float* out_scale,
                           float* out_bias) {
    const u64 i = blockIdx.x;
    const u64 row = i * kStratum + mixed(blockIdx.x) % kStratum;
    for (u32 w = threadIdx.x; w < words; w += blockDim.x) {
        out[i * out_stride + w] = rows[row * stride + w];
    }
    if (threadIdx.x != 0) return;
    if (scale != nullptr) out_scale[i] = scale[row];
    if (bias != nullptr) out_bias[i] = bias[row];
}

}  // namespace
}  // namespace nearfield

/// Copies sample row blockIdx.x: `words` of T; stride and out_stride in such. scale and bias, with what is
/// copied of them, may be null.
#define NEARFIELD_SAMPLE_ROWS(NAME, T)                                                           \
    extern "C" __global__ void NAME(const nearfield::T* rows, nearfield::u64 stride,             \
                                    nearfield::u32 words, const float* scale, const float* bias, \
                                    nearfield::T* out, nearfield::u64 out_stride,                \
                                    float* out_scale, float* out_bias) {                         \
        nearfield::sample_row(rows, stride, words, scale, bias, out, out_stride, out_scale,      \
                              out_bias);                                                         \
    }                                                                                            \
    NEARFIELD_KERNEL(NAME)

NEARFIELD_SAMPLE_ROWS(sample_rows, u16)
NEARFIELD_SAMPLE_ROWS(sample_rows_of_bytes, u8)

/// One thread a query. best: the `rank` largest maxima of its sample, falling. Infinite where the margin is:
/// nothing survives then, and the query is scored exactly.
extern "C" __global__ void find_thresholds(const float* best, nearfield::u32 rank,
                                           const float* margin, nearfield::u32 queries,
                                           float* thresholds) {
    using namespace nearfield;
    const u32 q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= queries) return;
    const float last = best[static_cast<u64>(q) * rank + rank - 1];
    const bool is_bounded = margin[q] < infinity();
    thresholds[q] = is_bounded ? last - 2.0f * margin[q] : infinity();
}
NEARFIELD_KERNEL(find_thresholds)

/// A block a query. best: the k best of the first `capacity` survivors, falling, -infinity where there are
/// fewer. kept[q], zero before, and
/// lists from q * capacity on: which of them are to be scored exactly. lengths[q]: 0, or all rows where
/// the query is not proven.
extern "C" __global__ void keep_survivors(const float* scores, const nearfield::u32* rows,
                                          const nearfield::u32* counts, nearfield::u32 capacity,
                                          const float* thresholds, const float* best,
                                          nearfield::u32 k, const float* margin,
                                          nearfield::u32 row_count, nearfield::u32* lists,
                                          nearfield::u32* kept, nearfield::u32* lengths) {
    using namespace nearfield;
    const u64 q = blockIdx.x;
    const u32 count = counts[q];
    const float floor = best[q * k + k - 1] - 2.0f * margin[q];
    const bool is_proven = count <= capacity && floor >= thresholds[q];
    if (threadIdx.x == 0) lengths[q] = is_proven ? 0 : row_count;
    if (!is_proven) return;
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) {
        if (scores[q * capacity + i] < floor) continue;
        lists[q * capacity + atomicAdd(kept + q, 1u)] = rows[q * capacity + i];
    }
}
NEARFIELD_KERNEL(keep_survivors)

/// Grid (queries, slices), blocks of a multiple of 32 threads; a warp a row. Query q has counts[q] rows from
/// lists[q * capacity] on; their keys go to the same places. Strides in elements. norms: of rows, for
/// cosine.
#define NEARFIELD_RESCORE_ROWS(T)                                                              \
    extern "C" __global__ void rescore_rows_##T(                                               \
        const float* queries, nearfield::u64 query_stride, const nearfield::T* rows,           \
        nearfield::u64 stride, nearfield::u32 dim, nearfield::u32 metric, const double* norms, \
        const nearfield::u32* lists, const nearfield::u32* counts, nearfield::u32 capacity,    \
        double* keys) {                                                                        \
        using namespace nearfield;                                                             \
        const u64 q = blockIdx.x, first = q * capacity;                                        \
        const u32 warps = blockDim.x / kWarp;                                                  \
        for (u32 i = blockIdx.y * warps + warp_id(); i < counts[q]; i += gridDim.y * warps) {  \
            rescore_row(queries + q * query_stride, rows, stride, dim, metric, norms,          \
                        lists[first + i], keys + first + i);                                   \
        }                                                                                      \
    }                                                                                          \
    NEARFIELD_KERNEL(rescore_rows_##T)

NEARFIELD_RESCORE_ROWS(f32)
NEARFIELD_RESCORE_ROWS(f16)
NEARFIELD_RESCORE_ROWS(bf16)
NEARFIELD_RESCORE_ROWS(u8)
NEARFIELD_RESCORE_ROWS(i8)
