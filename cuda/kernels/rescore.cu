// Pass 3 of a scan: the groups that may hold one of the k best, and the exact scores of their rows.
//
// Among the groups with the k largest maxima are k rows whose exact scores are at least the k-th maximum
// less the margin; a group below that less another margin holds none of the k best. So collect_groups takes
// every group with maximum >= k-th - 2 margin: all winners and all ties are among them, whatever pass 1
// rounded. Lists longer than their capacity are cut, and counts says so: scan such a query again with more.
// rescore writes keys in the engine's exact order (canonical.cuh): <q, x>, -|q - x|^2 or <q, x> / |x|,
// larger is better; select_k_radix_f64 ranks them, finish_scores turns them into what users see.
// Cost: one read of the maxima; 32 rows a group. Source: own; margins as in margin.cuh.

#include "group_rows.cuh"

namespace nearfield {
namespace {

using f32 = float;

/// Where the groups of one query's lists are: group g of them belongs to the last probe whose place is not
/// above it. Without lists groups are those of all rows.
struct Probed {
    const u32* lists;    // the query's
    const u32* places;   // likewise, one more than lists
    const u32* offsets;  // of all lists
    const u32* labels;   // of rows, or null
    u32 count;

    /// First row of a group, and where its list ends.
    __device__ void find(u32 group, u32* first, u32* last) const {
        u32 low = 0, high = count;
        while (high - low > 1) {
            const u32 middle = (low + high) / 2;
            (places[middle] <= group ? low : high) = middle;
        }
        *first = offsets[lists[low]] + (group - places[low]) * kGroupRows;
        *last = offsets[lists[low] + 1];
    }
};

/// Which rows may answer a query: those the mask has, but for one.
struct Answering {
    const u8* mask;  // null: all
    u32 but;         // kNoId: none

    __device__ bool takes(u32 row) const {
        return row != but && (mask == nullptr || mask[row] != 0);
    }
};

/// The rows of a query's groups, a warp each; see NEARFIELD_RESCORE.
template <class T>
__device__ void rescore(const float* q, const T* rows, u64 stride, u32 row_count, u32 dim,
                        u32 metric, const double* norms, const Answering& answering,
                        const u32* groups, u32 count, double* keys, u32* ids,
                        const Probed* probed) {
    const u32* const labels = probed != nullptr ? probed->labels : nullptr;
    score_groups(
        count, keys, ids,
        [&](u32 slot) {
            const u32 group = groups != nullptr ? groups[slot] : slot;
            Span span = {group * kGroupRows, row_count};
            if (probed != nullptr) probed->find(group, &span.first, &span.last);
            return span;
        },
        [&](u32 row) {
            return !answering.takes(row) ? kNoId : labels != nullptr ? labels[row] : row;
        },
        [&](u32 row) {
            const double norm = metric == kCosine ? norms[row] : 1.0;
            return exact_key(q, rows + row * stride, dim, metric, norm);
        });
}

/// What a group must reach whose rows may be among the k best: see above. Where no score can overflow a
/// group of -infinity has no row that may answer.
__device__ float floor_of(float kth, float margin) {
    const float floor = kth - 2.0f * margin, lowest = -3.402823466e38f;
    return margin < infinity() && floor < lowest ? lowest : floor;
}

/// See collect_groups.
__device__ void collect(const float* maxima, u32 groups, float floor, u32 capacity, u32* list,
                        u32* count) {
    const u32 step = gridDim.y * blockDim.x;
    for (u32 first = blockIdx.y * blockDim.x; first < groups; first += step) {
        const u32 group = first + threadIdx.x;
        // What is no number is taken.
        const bool is_taken = group < groups && !(maxima[group] < floor);
        const u32 taken = __ballot_sync(kAllLanes, is_taken);
        u32 place = 0;
        if (lane_id() == 0 && taken != 0) place = atomicAdd(count, static_cast<u32>(__popc(taken)));
        place = __shfl_sync(kAllLanes, place, 0) + __popc(taken & ((1u << lane_id()) - 1));
        if (is_taken && place < capacity) list[place] = group;
    }
}

}  // namespace
}  // namespace nearfield

/// Grid (queries, slices), blocks of a multiple of 32 threads. best: the k largest maxima of every query,
/// falling. counts: zero before; afterwards how many groups there are, which may be more than capacity.
/// lists: query q from q * capacity on, in no order.
extern "C" __global__ void collect_groups(const float* maxima, nearfield::u64 stride,
                                          nearfield::u32 groups, const float* best,
                                          nearfield::u32 k, const float* margin,
                                          nearfield::u32 capacity, nearfield::u32* lists,
                                          nearfield::u32* counts) {
    const nearfield::u64 q = blockIdx.x;
    const float floor = nearfield::floor_of(best[q * k + k - 1], margin[q]);
    nearfield::collect(maxima + q * stride, groups, floor, capacity, lists + q * capacity,
                       counts + q);
}
NEARFIELD_KERNEL(collect_groups)

/// The same where query q has groups[q] groups, those of its lists.
extern "C" __global__ void collect_list_groups(const float* maxima, nearfield::u64 stride,
                                               const nearfield::u32* groups, const float* best,
                                               nearfield::u32 k, const float* margin,
                                               nearfield::u32 capacity, nearfield::u32* lists,
                                               nearfield::u32* counts) {
    using namespace nearfield;
    const u64 q = blockIdx.x;
    const float floor = floor_of(best[q * k + k - 1], margin[q]);
    collect(maxima + q * stride, groups[q], floor, capacity, lists + q * capacity, counts + q);
}
NEARFIELD_KERNEL(collect_list_groups)

/// Grid (queries, slices), blocks of a multiple of 32 threads. Query q has counts[q] groups from
/// lists[q * capacity] on; keys and ids of its rows, 32 a group, go to (q * capacity) * 32 and on, and
/// pairs[q] says how many. Strides in elements. norms: of rows, for cosine. mask: a byte a row, 0 for one that
/// may not answer; null: all may. leaves_out_self: query q may not get row first_query + q. Rows past the last
/// and those that may not answer are -infinity and kNoId.
#define NEARFIELD_RESCORE(T)                                                                      \
    extern "C" __global__ void rescore_##T(                                                       \
        const float* queries, nearfield::u64 query_stride, const nearfield::T* rows,              \
        nearfield::u64 stride, nearfield::u32 row_count, nearfield::u32 dim,                      \
        nearfield::u32 metric, const double* norms, const nearfield::u8* mask,                    \
        nearfield::u32 first_query, nearfield::u32 leaves_out_self, const nearfield::u32* lists,  \
        const nearfield::u32* counts, nearfield::u32 capacity, double* keys, nearfield::u32* ids, \
        nearfield::u32* pairs) {                                                                  \
        using namespace nearfield;                                                                \
        const u64 q = blockIdx.x;                                                                 \
        const u32 count = min(counts[q], capacity);                                               \
        if (blockIdx.y == 0 && threadIdx.x == 0) pairs[q] = count * kGroupRows;                   \
        const u32 own = leaves_out_self != 0 ? first_query + blockIdx.x : kNoId;                  \
        rescore(queries + q * query_stride, rows, stride, row_count, dim, metric, norms,          \
                {mask, own}, lists + q * capacity, count, keys + q * capacity * kGroupRows,       \
                ids + q * capacity * kGroupRows, nullptr);                                        \
    }                                                                                             \
    NEARFIELD_KERNEL(rescore_##T)

NEARFIELD_RESCORE(f32)
NEARFIELD_RESCORE(f16)
NEARFIELD_RESCORE(bf16)
NEARFIELD_RESCORE(u8)
NEARFIELD_RESCORE(i8)
NEARFIELD_RESCORE(e8)

/// The same of groups of lists: each query has probes[q * nprobe + j] and their places, nprobe + 1 a query,
/// as list_maxima.cuh has them. Rows lie in the order of lists; labels says which they are, kNoId of one that
/// may not answer. lists null: all groups, counts[q] of them.
#define NEARFIELD_RESCORE_LISTS(T)                                                                 \
    extern "C" __global__ void rescore_lists_##T(                                                  \
        const float* queries, nearfield::u64 query_stride, const nearfield::T* rows,               \
        nearfield::u64 stride, nearfield::u32 dim, nearfield::u32 metric, const double* norms,     \
        const nearfield::u32* probes, const nearfield::u32* places, nearfield::u32 nprobe,         \
        const nearfield::u32* offsets, const nearfield::u32* labels, const nearfield::u32* lists,  \
        const nearfield::u32* counts, nearfield::u32 capacity, double* keys, nearfield::u32* ids,  \
        nearfield::u32* pairs) {                                                                   \
        using namespace nearfield;                                                                 \
        const u64 q = blockIdx.x;                                                                  \
        const u32 count = min(counts[q], capacity);                                                \
        if (blockIdx.y == 0 && threadIdx.x == 0) pairs[q] = count * kGroupRows;                    \
        const Probed probed = {probes + q * nprobe, places + q * (nprobe + 1), offsets, labels,    \
                               nprobe};                                                            \
        rescore(queries + q * query_stride, rows, stride, 0, dim, metric, norms, {nullptr, kNoId}, \
                lists != nullptr ? lists + q * capacity : nullptr, count,                          \
                keys + q * capacity * kGroupRows, ids + q * capacity * kGroupRows, &probed);       \
    }                                                                                              \
    NEARFIELD_KERNEL(rescore_lists_##T)

NEARFIELD_RESCORE_LISTS(f32)
NEARFIELD_RESCORE_LISTS(f16)
NEARFIELD_RESCORE_LISTS(bf16)
NEARFIELD_RESCORE_LISTS(u8)
NEARFIELD_RESCORE_LISTS(e8)

/// One thread a result, `count` of them, k a query. Where there is none: NaN, and the smallest int64.
extern "C" __global__ void finish_scores(const double* keys, const nearfield::u32* ids,
                                         nearfield::u64 count, nearfield::u32 k,
                                         nearfield::u32 metric, const double* query_norms,
                                         float* scores, nearfield::i64* labels) {
    using namespace nearfield;
    const u64 at = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= count) return;
    if (ids[at] == kNoId) {
        scores[at] = __uint_as_float(0x7fc00000u);
        labels[at] = static_cast<i64>(1ull << 63);
        return;
    }
    double score = metric == kL2 ? -keys[at] : keys[at];
    if (metric == kCosine) {
        const double norm = query_norms[at / k];
        score = norm > 0.0 ? score / norm : 0.0;
    }
    scores[at] = static_cast<float>(score);
    labels[at] = ids[at];
}
NEARFIELD_KERNEL(finish_scores)
