// Which lists a query looks into beyond those nearest to it, and which rows of them may answer.
//
// Lists are numbered from 0; number `lists` is one without rows, which stands for none. A row has a name, by
// which ties are decided and results called, and a place in the order that masks have; kNoId is the name of
// a row that may not answer. Where a query's lists hold fewer than k rows that may, it looks into four times
// as many, and again, until they hold k or are all: as the CPU engine does, but in one step. Lists may lie in
// groups, of which every such round looks into the nearest ones.
// Cost: nprobe a query, one read of the names; leave_out_far also dim a probe. Source: own.

#include "canonical.cuh"

namespace nearfield {
namespace {

constexpr u32 kThreads = 128;

/// Rows of each list that may answer.
struct Holdings {
    const u32* offsets;
    const u32* allowed;  // a list; null: all rows may

    __device__ u32 of(u32 list) const {
        return allowed != nullptr ? allowed[list] : offsets[list + 1] - offsets[list];
    }
    /// Of the lists [0, count) of a choice, in every lane of a warp.
    template <class T>
    __device__ u64 of_all(const T* choice, u32 count) const {
        u64 sum = 0;
        for (u32 j = lane_id(); j < count; j += kWarp) sum += of(static_cast<u32>(choice[j]));
        return warp_sum(sum);
    }
};

/// All lists by their distance from a query, and how near the group of each is.
struct Nearness {
    const i64* lists;  // the nearest first
    u32 count;
    u32* ranks;  // of each list's group, where they are in any

    /// A warp writes the ranks; groups: the nearest first.
    __device__ void rank(const i64* groups, u32 group_count, const u32* offsets) const {
        for (u32 j = lane_id(); j < group_count; j += kWarp) {
            for (u32 list = offsets[groups[j]]; list < offsets[groups[j] + 1]; ++list) {
                ranks[list] = j;
            }
        }
        __syncwarp();
    }

    /// The first `wide` lists in the `within` nearest groups, by a warp; the rows that they hold. within 0: in any.
    __device__ u64 take(const Holdings& rows, u32 wide, u32 within, u32* out) const {
        u64 held = 0;
        for (u32 first = 0, taken = 0; first < count && taken < wide; first += kWarp) {
            const u32 j = first + lane_id();
            const u32 list = j < count ? static_cast<u32>(lists[j]) : 0;
            const bool is_near = j < count && (within == 0 || ranks[list] < within);
            const u32 near = __ballot_sync(kAllLanes, is_near);
            const u32 place = taken + __popc(near & ((1u << lane_id()) - 1));
            if (is_near && place < wide) {
                out[place] = list;
                held += rows.of(list);
            }
            taken += static_cast<u32>(__popc(near));
        }
        return warp_sum(held);
    }
};

}  // namespace
}  // namespace nearfield

/// One thread a probe. What was found, negative where nothing was (of a query that is not finite). found null:
/// every list, in order.
extern "C" __global__ void name_probes(const nearfield::i64* found, nearfield::u64 count,
                                       nearfield::u32 lists, nearfield::u32* probes) {
    using namespace nearfield;
    const u64 at = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= count) return;
    const i64 list = found != nullptr ? found[at] : static_cast<i64>(at % lists);
    probes[at] = list < 0 ? lists : static_cast<u32>(list);
}
NEARFIELD_KERNEL(name_probes)

/// A block of 128 threads a query: probes further than the nearest by more than margin become `lists`.
/// Distances are Euclidean under l2, else differences of cosines to centroids of length 1, as in
/// cpp/index/ivf/margin.h, bit by bit. far: nprobe a query. Strides in elements.
extern "C" __global__ void __launch_bounds__(128)
    leave_out_far(const float* queries, nearfield::u32 dim, const float* centroids,
                  nearfield::u64 stride, nearfield::u32 lists, nearfield::u32 metric, double margin,
                  nearfield::u32* probes, nearfield::u32 nprobe, double* far) {
    using namespace nearfield;
    __shared__ double least[kThreads];
    const u64 first = static_cast<u64>(blockIdx.x) * nprobe;
    const float* const q = queries + static_cast<u64>(blockIdx.x) * dim;
    const bool is_l2 = metric == kL2;
    const double unit = is_l2 ? 1.0 : sqrt(warp_ip(q, q, dim));
    for (u32 j = warp_id(); j < nprobe; j += kThreads / kWarp) {
        const u32 list = probes[first + j];
        double distance = static_cast<double>(infinity());
        if (list < lists) {
            const float* const c = centroids + list * stride;
            distance = is_l2 ? sqrt(warp_l2(q, c, dim)) : -warp_ip(q, c, dim);
        }
        if (lane_id() == 0) far[first + j] = distance;
    }
    __syncthreads();
    double own = static_cast<double>(infinity());
    for (u32 j = threadIdx.x; j < nprobe; j += kThreads) {
        own = far[first + j] < own ? far[first + j] : own;
    }
    least[threadIdx.x] = own;
    __syncthreads();
    for (u32 t = 0; t < kThreads; ++t) own = least[t] < own ? least[t] : own;
    const double limit = own + margin * unit;
    for (u32 j = threadIdx.x; j < nprobe; j += kThreads) {
        if (far[first + j] > limit) probes[first + j] = lists;
    }
}
NEARFIELD_KERNEL(leave_out_far)

/// One thread a row: names and biases where a mask leaves rows out. mask: a byte a row, in its own order.
/// bias: of all rows, or null.
extern "C" __global__ void mask_rows(const nearfield::u32* names, const nearfield::u32* order,
                                     const nearfield::u8* mask, const float* bias,
                                     nearfield::u32 count, nearfield::u32* masked_names,
                                     float* masked_bias) {
    using namespace nearfield;
    const u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= count) return;
    const bool answers = mask[order[row]] != 0;
    masked_names[row] = answers ? names[row] : kNoId;
    masked_bias[row] = !answers ? -infinity() : bias != nullptr ? bias[row] : 0.0f;
}
NEARFIELD_KERNEL(mask_rows)

/// A warp a list, blocks of a multiple of 32 threads: how many of its rows may answer, as in mask_rows.
extern "C" __global__ void count_allowed(const nearfield::u32* order, const nearfield::u8* mask,
                                         const nearfield::u32* offsets, nearfield::u32 lists,
                                         nearfield::u32* allowed) {
    using namespace nearfield;
    const u32 list = blockIdx.x * (blockDim.x / kWarp) + warp_id();
    if (list >= lists) return;
    u32 count = 0;
    for (u32 row = offsets[list] + lane_id(); row < offsets[list + 1]; row += kWarp) {
        if (mask[order[row]] != 0) ++count;
    }
    count = warp_sum(count);
    if (lane_id() == 0) allowed[list] = count;
}
NEARFIELD_KERNEL(count_allowed)

/// A warp a query, blocks of a multiple of 32 threads: open[q] is the number of lists where more groups were to be
/// scored (counts) than there was room for (capacity) or its own lists hold fewer than k rows that may answer,
/// else 0.
extern "C" __global__ void find_open(const nearfield::u32* probes, nearfield::u32 queries,
                                     nearfield::u32 nprobe, const nearfield::u32* offsets,
                                     const nearfield::u32* allowed, nearfield::u32 k,
                                     const nearfield::u32* counts, nearfield::u32 capacity,
                                     nearfield::u32 lists, nearfield::u32* open) {
    using namespace nearfield;
    const u32 q = blockIdx.x * (blockDim.x / kWarp) + warp_id();
    if (q >= queries) return;
    const Holdings rows = {offsets, allowed};
    const u64 held = rows.of_all(probes + static_cast<u64>(q) * nprobe, nprobe);
    if (lane_id() == 0) open[q] = counts[q] > capacity || held < k ? lists : 0;
}
NEARFIELD_KERNEL(find_open)

/// A warp a query, blocks of a multiple of 32 threads: the lists that open queries look into, `most` a query,
/// none for the others. Where those of before hold k rows they stay. ranking: all lists, nearest first; null
/// where nothing is to be added. group_ranking: likewise of the groups that lists lie in, group by group from
/// offsets on; for n lists the looked_into[n - 1] nearest of them are looked into, 0: all. ranks: lists a query.
extern "C" __global__ void widen_probes(
    const nearfield::u32* open, const nearfield::u32* probes, nearfield::u32 queries,
    nearfield::u32 nprobe, const nearfield::i64* ranking, nearfield::u32 lists,
    const nearfield::i64* group_ranking, nearfield::u32 groups, const nearfield::u32* group_offsets,
    const nearfield::u32* looked_into, nearfield::u32* ranks, const nearfield::u32* offsets,
    const nearfield::u32* allowed, nearfield::u32 k, nearfield::u32 most, nearfield::u32* widened) {
    using namespace nearfield;
    const u32 q = blockIdx.x * (blockDim.x / kWarp) + warp_id();
    if (q >= queries) return;
    const Holdings rows = {offsets, allowed};
    const u32* const before = probes + static_cast<u64>(q) * nprobe;
    const i64* const all = ranking != nullptr ? ranking + static_cast<u64>(q) * lists : nullptr;
    const Nearness near = {all, lists, ranks + static_cast<u64>(q) * lists};
    u32* const out = widened + static_cast<u64>(q) * most;
    u32 kept = open[q] != 0 ? nprobe : 0, added = 0;
    // A query that is not finite is near to no list.
    if (kept != 0 && all != nullptr && all[0] >= 0 && rows.of_all(before, nprobe) < k) {
        kept = 0;
        if (groups != 0)
            near.rank(group_ranking + static_cast<u64>(q) * groups, groups, group_offsets);
        u64 wide = nprobe, held = 0;
        do {
            wide = wide * 4 < lists ? wide * 4 : lists;
            added = static_cast<u32>(wide);
            held = near.take(rows, added, groups != 0 ? looked_into[added - 1] : 0, out);
        } while (added < lists && held < k);
    }
    for (u32 j = lane_id(); j < most; j += kWarp) {
        if (j >= added) out[j] = j < kept ? before[j] : lists;
    }
}
NEARFIELD_KERNEL(widen_probes)
