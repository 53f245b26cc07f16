// The k best of every row of scores, best first: score descending, ties by smaller id.
//
// A block finds the k-th best by histograms of 8 bits of the keys, from the top, then gathers and sorts.
//
// Grid (rows, slices): with more than one slice, a long row is shared by several blocks, and each finds
// the k best of its slice; select once more among these. Ids may be null: position + first_id.
// counts may be null: every row has `length` scores; else counts[row], at most length. Where a row has
// fewer than k the rest is (-infinity, kNoId). out: k pairs a slice, slices of a row side by side.
// Cost: up to nine reads of the scores, thirteen of float64. Memory: 8 k bytes a block, 16 k of float64, shared
// or `scratch`. Source: after Alabi et al., "Fast k-selection algorithms for graphics processing units" (2012).

#include "sort.cuh"

namespace nearfield {
namespace {

/// What one block reads, and where its result goes.
template <class Score>
struct Slice {
    const Score* scores;
    const u32* ids;  // or null
    u32 first_id;
    u32 count;
    u64 out;

    __device__ auto key(u32 at) const {
        return key_of(scores[at], ids != nullptr ? ids[at] : first_id + at);
    }
};

template <class Score>
__device__ Slice<Score> slice_of(const Score* scores, const u32* ids, u64 stride, const u32* counts,
                                 u32 length, u32 first_id, u32 k) {
    const u32 count = counts != nullptr ? counts[blockIdx.x] : length;
    const u32 each = (length + gridDim.y - 1) / gridDim.y;
    const u32 begin = min(count, blockIdx.y * each), end = min(count, begin + each);
    const u64 start = blockIdx.x * stride + begin;
    const u64 out = (static_cast<u64>(blockIdx.x) * gridDim.y + blockIdx.y) * k;
    return {scores + start, ids != nullptr ? ids + start : nullptr, first_id + begin, end - begin,
            out};
}

template <class K, class Score>
__device__ void write_best(const K* keys, u32 held, u32 k, u64 out, Score* out_scores,
                           u32* out_ids) {
    for (u32 j = threadIdx.x; j < k; j += blockDim.x) {
        const K key = j < held ? keys[j] : K{};
        out_scores[out + j] = score_of(key);
        out_ids[out + j] = id_of(key);
    }
}

/// The keys that share their highest bits with the k-th best, and how many are above them.
template <class K>
struct Digits {
    K prefix;
    u32 shift;  // bits that are not known
    u32 above;
    u32 among;
};

/// What the threads of a radix selection share.
struct RadixState {
    u32 bins[256];
    u32 found[3];
    u32 taken[2];
};

/// The first of the 256 bins, from the highest, at which `wanted` keys are reached. One warp.
__device__ void find_bin(const u32* bins, u32 wanted, u32* found) {
    u32 before = 0;
    for (u32 top = 256; top > 0; top -= kWarp) {
        const u32 bin = top - 1 - lane_id();
        u32 sum = bins[bin];
        for (u32 step = 1; step < kWarp; step *= 2) {
            const u32 left = __shfl_up_sync(kAllLanes, sum, step);
            if (lane_id() >= step) sum += left;
        }
        const u32 reached = __ballot_sync(kAllLanes, before + sum >= wanted);
        if (reached != 0) {
            if (lane_id() == static_cast<u32>(__ffs(static_cast<i32>(reached)) - 1)) {
                found[0] = bin;
                found[1] = before + sum - bins[bin];
                found[2] = bins[bin];
            }
            return;
        }
        before += __shfl_sync(kAllLanes, sum, kWarp - 1);
    }
}

/// Eight bits more of the k-th best key, until all keys that share them are wanted.
template <class K, class Score>
__device__ Digits<K> find_digits(const Slice<Score>& slice, u32 k, RadixState& state) {
    Digits<K> digits = {K{}, bits_of(K{}), 0, slice.count};
    while (digits.shift > 0 && digits.above + digits.among != k) {
        for (u32 b = threadIdx.x; b < 256; b += blockDim.x) state.bins[b] = 0;
        __syncthreads();
        const u32 shift = digits.shift - 8;
        for (u32 at = threadIdx.x; at < slice.count; at += blockDim.x) {
            const K key = slice.key(at);
            if (prefix_of(key, digits.shift) == digits.prefix) {
                atomicAdd(&state.bins[digit(key, shift)], 1u);
            }
        }
        __syncthreads();
        if (warp_id() == 0) find_bin(state.bins, k - digits.above, state.found);
        __syncthreads();
        digits = {with_digit(digits.prefix, shift, state.found[0]), shift,
                  digits.above + state.found[1], state.found[2]};
    }
    return digits;
}

template <class K, class Score>
__device__ void select_by_radix(const Slice<Score>& slice, u32 k, K* keys, RadixState& state,
                                Score* out_scores, u32* out_ids) {
    const u32 held = min(slice.count, k);
    const Digits<K> digits = find_digits<K>(slice, held, state);
    if (threadIdx.x < 2) state.taken[threadIdx.x] = 0;
    __syncthreads();
    for (u32 at = threadIdx.x; at < slice.count; at += blockDim.x) {
        const K key = slice.key(at), high = prefix_of(key, digits.shift);
        if (high > digits.prefix) keys[atomicAdd(&state.taken[0], 1u)] = key;
        if (high == digits.prefix) {
            // Pairs given twice may be more than are wanted.
            const u32 place = digits.above + atomicAdd(&state.taken[1], 1u);
            if (place < held) keys[place] = key;
        }
    }
    block_sort(keys, held);
    write_best(keys, held, k, slice.out, out_scores, out_ids);
}

}  // namespace
}  // namespace nearfield

/// Blocks of a multiple of 32 threads. scratch: k keys a block (8 bytes; float64: 16), or null and as much
/// shared memory.
#define NEARFIELD_SELECT_RADIX(SUFFIX, SCORE, KEY)                                                \
    extern "C" __global__ void select_k_radix_##SUFFIX(                                           \
        const SCORE* scores, const nearfield::u32* ids, nearfield::u64 stride,                    \
        const nearfield::u32* counts, nearfield::u32 length, nearfield::u32 first_id,             \
        nearfield::u32 k, KEY* scratch, SCORE* out_scores, nearfield::u32* out_ids) {             \
        NEARFIELD_DYNAMIC_SHARED(shared);                                                         \
        __shared__ nearfield::RadixState state;                                                   \
        const auto slice = nearfield::slice_of(scores, ids, stride, counts, length, first_id, k); \
        KEY* keys = scratch != nullptr ? scratch + slice.out : reinterpret_cast<KEY*>(shared);    \
        nearfield::select_by_radix<KEY>(slice, k, keys, state, out_scores, out_ids);              \
    }                                                                                             \
    NEARFIELD_KERNEL(select_k_radix_##SUFFIX)

NEARFIELD_SELECT_RADIX(f32, float, nearfield::u64)
NEARFIELD_SELECT_RADIX(f64, double, nearfield::WideKey)
