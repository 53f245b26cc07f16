// Sorting many (number, value) pairs by number, rising; equal numbers keep their order.
//
// Eight bits at a time, from the lowest: digit_counts counts every digit in every block's part of the
// pairs, place_of_counts turns the counts into places (digit by digit, block by block), move_by_digit puts
// each pair where it belongs. Values may be null in the first pass: positions. Blocks of 256 threads; each
// has `each` pairs, a multiple of 256. counts: 256 x blocks, digit d of block b at d * blocks + b.
// offsets_of_numbers: where each number starts in the sorted list, numbers + 1 of them.
// Cost: per eight bits two reads and one write of the pairs. Source: Satish, Harris, Garland, "Designing
// Efficient Sorting Algorithms for Manycore GPUs" (2009).

#include "device.cuh"

namespace nearfield {
namespace {

constexpr u32 kThreads = 256;
constexpr u32 kWarps = kThreads / kWarp;
constexpr u32 kDigits = 256;

/// The lanes whose digit is this lane's. All lanes call it.
__device__ u32 lanes_alike(u32 digit, bool is_there) {
    u32 alike = __ballot_sync(kAllLanes, is_there);
    for (u32 bit = 1; bit < kDigits; bit *= 2) {
        const u32 with = __ballot_sync(kAllLanes, (digit & bit) != 0);
        alike &= (digit & bit) != 0 ? with : ~with;
    }
    return alike;
}

/// The sum of x over the threads before this one; total: of all.
__device__ u32 sum_before(u32 x, u32* of_warps, u32* total) {
    u32 sum = x;
    for (u32 step = 1; step < kWarp; step *= 2) {
        const u32 left = __shfl_up_sync(kAllLanes, sum, step);
        if (lane_id() >= step) sum += left;
    }
    if (lane_id() == kWarp - 1) of_warps[warp_id()] = sum;
    __syncthreads();
    u32 before = sum - x, all = 0;
    for (u32 w = 0; w < kWarps; ++w) {
        if (w < warp_id()) before += of_warps[w];
        all += of_warps[w];
    }
    __syncthreads();
    *total = all;
    return before;
}

}  // namespace
}  // namespace nearfield

extern "C" __global__ void __launch_bounds__(256)
    digit_counts(const nearfield::u32* numbers, nearfield::u32 count, nearfield::u32 each,
                 nearfield::u32 shift, nearfield::u32* counts) {
    using namespace nearfield;
    __shared__ u32 held[kDigits];
    held[threadIdx.x] = 0;
    __syncthreads();
    const u32 first = blockIdx.x * each, last = min(count, first + each);
    for (u32 at = first + threadIdx.x; at < last; at += kThreads) {
        atomicAdd(&held[numbers[at] >> shift & (kDigits - 1)], 1u);
    }
    __syncthreads();
    counts[threadIdx.x * gridDim.x + blockIdx.x] = held[threadIdx.x];
}
NEARFIELD_KERNEL(digit_counts)

/// One block.
extern "C" __global__ void __launch_bounds__(256)
    place_of_counts(nearfield::u32* counts, nearfield::u32 count) {
    using namespace nearfield;
    __shared__ u32 of_warps[kWarps];
    u32 before = 0;
    for (u32 first = 0; first < count; first += kThreads) {
        const u32 at = first + threadIdx.x;
        u32 total;
        const u32 own = sum_before(at < count ? counts[at] : 0, of_warps, &total);
        if (at < count) counts[at] = before + own;
        before += total;
    }
}
NEARFIELD_KERNEL(place_of_counts)

extern "C" __global__ void __launch_bounds__(256)
    move_by_digit(const nearfield::u32* numbers, const nearfield::u32* values, nearfield::u32 count,
                  nearfield::u32 each, nearfield::u32 shift, const nearfield::u32* places,
                  nearfield::u32* out_numbers, nearfield::u32* out_values) {
    using namespace nearfield;
    __shared__ u32 next[kDigits];
    __shared__ u32 of_warp[kWarps][kDigits];
    const u32 digit_of_thread = threadIdx.x;
    next[digit_of_thread] = places[digit_of_thread * gridDim.x + blockIdx.x];
    const u32 first = blockIdx.x * each, last = min(count, first + each);
    for (u32 begin = first; begin < last; begin += kThreads) {
        const u32 at = begin + threadIdx.x;
        const bool is_there = at < last;
        const u32 number = is_there ? numbers[at] : 0;
        const u32 digit = number >> shift & (kDigits - 1);
        for (u32 w = 0; w < kWarps; ++w) of_warp[w][digit_of_thread] = 0;
        __syncthreads();
        const u32 alike = lanes_alike(digit, is_there);
        const u32 rank = __popc(alike & ((1u << lane_id()) - 1));
        if (is_there && rank == 0) of_warp[warp_id()][digit] = __popc(alike);
        __syncthreads();
        u32 place = next[digit_of_thread];
        for (u32 w = 0; w < kWarps; ++w) {
            const u32 here = of_warp[w][digit_of_thread];
            of_warp[w][digit_of_thread] = place;
            place += here;
        }
        next[digit_of_thread] = place;
        __syncthreads();
        if (is_there) {
            const u32 to = of_warp[warp_id()][digit] + rank;
            out_numbers[to] = number;
            out_values[to] = values != nullptr ? values[at] : at;
        }
        __syncthreads();
    }
}
NEARFIELD_KERNEL(move_by_digit)

/// One thread a place, count + 1 of them. Numbers are below `numbers`.
extern "C" __global__ void offsets_of_numbers(const nearfield::u32* sorted, nearfield::u32 count,
                                              nearfield::u32 numbers, nearfield::u32* offsets) {
    using namespace nearfield;
    const u32 at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at > count) return;
    const u32 from = at == 0 ? 0 : sorted[at - 1] + 1;
    const u32 to = at == count ? numbers : sorted[at];
    for (u32 number = from; number <= to; ++number) offsets[number] = at;
}
NEARFIELD_KERNEL(offsets_of_numbers)
