// Results of parts of the rows, on several devices, as the results of all rows.
//
// Every part has its k best for a query in the order of results: key descending, id ascending. The place of
// an entry among all is its place in its own list and, for every other list, how many of that come before
// it, found by halving: no barrier, no order of threads. Missing entries have the key -infinity and come
// after all others; those of several lists may have one place, and are the same.
// Cost: parts^2 k log2 k comparisons a query. Source: own.

#include "device.cuh"

namespace nearfield {
namespace {

constexpr i64 kMissing = static_cast<i64>(1ull << 63);

/// Lists of k entries for every query, one matrix behind the other.
struct Ranked {
    const double* keys;
    const i64* ids;
    const float* scores;

    __device__ Ranked(const u8* lists, u64 entries)
        : keys(reinterpret_cast<const double*>(lists)),
          ids(reinterpret_cast<const i64*>(lists + 8 * entries)),
          scores(reinterpret_cast<const float*>(lists + 16 * entries)) {}

    /// How many of the k entries from `first` on come before one of this key and id.
    __device__ u32 before(u64 first, u32 k, double key, i64 id) const {
        u32 low = 0, high = k;
        while (low < high) {
            const u32 middle = low + (high - low) / 2;
            const double other = keys[first + middle];
            const bool is_before = other > key || (other == key && ids[first + middle] < id);
            if (is_before)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
};

}  // namespace
}  // namespace nearfield

/// Keys of what was selected, k a query, -infinity where there is none. One block a query. lengths: a query
/// of length 0 is left as it is; null: none is.
extern "C" __global__ void keep_keys_f64(const double* keys, nearfield::u32 found,
                                         const nearfield::u32* lengths, nearfield::u32 k,
                                         double* out) {
    using namespace nearfield;
    const u64 query = blockIdx.x;
    if (lengths != nullptr && lengths[query] == 0) return;
    for (u32 j = threadIdx.x; j < k; j += blockDim.x) {
        const double key = j < found ? keys[query * found + j] : -static_cast<double>(infinity());
        out[query * k + j] = key - key == 0.0 ? key : -static_cast<double>(infinity());
    }
}
NEARFIELD_KERNEL(keep_keys_f64)

/// A mask by row in another order of rows: out[i] = in[order[i]].
extern "C" __global__ void pick_bytes(const nearfield::u8* in, const nearfield::u32* order,
                                      nearfield::u64 n, nearfield::u8* out) {
    using namespace nearfield;
    const u64 step = static_cast<u64>(gridDim.x) * blockDim.x;
    for (u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
        out[i] = in[order[i]];
    }
}
NEARFIELD_KERNEL(pick_bytes)

/// Grid (queries, any). Part p's lists lie `apart` bytes after those of the part before it: keys, ids and
/// scores, queries x k of each.
extern "C" __global__ void merge_ranked(const nearfield::u8* lists, nearfield::u64 apart,
                                        nearfield::u32 parts, nearfield::u32 queries,
                                        nearfield::u32 k, nearfield::i64* out_ids,
                                        float* out_scores, nearfield::i64* out_counts) {
    using namespace nearfield;
    const u64 entries = static_cast<u64>(queries) * k;
    const u64 first = static_cast<u64>(blockIdx.x) * k;
    const double none = -static_cast<double>(infinity());
    const u64 step = static_cast<u64>(gridDim.y) * blockDim.x;
    for (u64 at = static_cast<u64>(blockIdx.y) * blockDim.x + threadIdx.x; at < parts * u64{k};
         at += step) {
        const u32 part = static_cast<u32>(at / k), j = static_cast<u32>(at % k);
        const Ranked own(lists + part * apart, entries);
        const double key = own.keys[first + j];
        const i64 id = own.ids[first + j];
        u64 place = j;
        for (u32 other = 0; other < parts; ++other) {
            if (other == part) continue;
            place += Ranked(lists + other * apart, entries).before(first, k, key, id);
        }
        if (place < k) {
            out_ids[first + place] = id;
            out_scores[first + place] = own.scores[first + j];
        }
        if (at != 0) continue;
        u64 all = 0;
        for (u32 each = 0; each < parts; ++each) {
            all += Ranked(lists + each * apart, entries).before(first, k, none, kMissing);
        }
        out_counts[blockIdx.x] = static_cast<i64>(all < k ? all : k);
    }
}
NEARFIELD_KERNEL(merge_ranked)
