// The rows of the lists that a batch looks into, one list behind the other, cut into slices to be decoded.
//
// Lists are numbered from 0, number `lists` is the empty one. mark_probed notes the sizes of the lists that are
// probed; summed up (sort_pairs.cu, place_of_counts) they are starts, lists + 2 of them: where each list starts
// among the rows wanted, the last is how many these are. A slice is `count` of those rows from `first` on;
// what of it is past the last has no name.
// Cost: one read and write of the codes of a slice. Source: own.

#include "device.cuh"

namespace nearfield {
namespace {

/// The list that the at-th row wanted is of.
__device__ u32 list_at(const u32* starts, u32 lists, u32 at) {
    u32 low = 0, high = lists;  // the last list that starts at it or before
    while (low + 1 < high) {
        const u32 middle = (low + high) / 2;
        if (starts[middle] <= at) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

}  // namespace
}  // namespace nearfield

/// One thread a probe. sizes: lists + 2, zero before the first of them.
extern "C" __global__ void mark_probed(const nearfield::u32* probes, nearfield::u64 count,
                                       const nearfield::u32* offsets, nearfield::u32* sizes) {
    using namespace nearfield;
    const u64 at = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= count) return;
    const u32 list = probes[at];
    sizes[list] = offsets[list + 1] - offsets[list];  // the same, whoever writes it
}
NEARFIELD_KERNEL(mark_probed)

/// One thread a list and two more: where each list starts within a slice.
extern "C" __global__ void cut_lists(const nearfield::u32* starts, nearfield::u32 lists,
                                     nearfield::u32 first, nearfield::u32 count,
                                     nearfield::u32* offsets) {
    using namespace nearfield;
    const u32 list = blockIdx.x * blockDim.x + threadIdx.x;
    if (list >= lists + 2) return;
    offsets[list] = starts[list] <= first ? 0 : min(starts[list] - first, count);
}
NEARFIELD_KERNEL(cut_lists)

/// A warp a row of a slice, blocks of a multiple of 32 threads: its code, its name and its list. offsets, codes
/// and names: of all rows.
extern "C" __global__ void gather_codes(const nearfield::u32* starts, const nearfield::u32* offsets,
                                        nearfield::u32 lists, nearfield::u32 first,
                                        nearfield::u32 count, const nearfield::u8* codes,
                                        nearfield::u32 code_size, const nearfield::u32* names,
                                        nearfield::u8* out_codes, nearfield::u32* out_names,
                                        nearfield::u32* out_lists) {
    using namespace nearfield;
    const u32 row = blockIdx.x * (blockDim.x / kWarp) + warp_id();
    if (row >= count) return;
    const u32 at = first + row;
    const bool is_there = at < starts[lists + 1];
    const u32 list = is_there ? list_at(starts, lists, at) : lists;
    const u64 from = is_there ? static_cast<u64>(offsets[list]) + (at - starts[list]) : 0;
    const u8* const code = codes + from * code_size;
    u8* const out = out_codes + static_cast<u64>(row) * code_size;
    for (u32 i = lane_id(); i < code_size; i += kWarp) out[i] = is_there ? code[i] : 0;
    if (lane_id() != 0) return;
    out_names[row] = is_there ? names[from] : kNoId;
    out_lists[row] = list;
}
NEARFIELD_KERNEL(gather_codes)

/// A block a row: the centre of its list is added, where it has one.
extern "C" __global__ void add_centres(const nearfield::u32* list_of, nearfield::u32 lists,
                                       const float* centres, nearfield::u32 dim, float* rows,
                                       nearfield::u64 stride) {
    using namespace nearfield;
    const u32 list = list_of[blockIdx.x];
    if (list >= lists) return;
    const float* const centre = centres + static_cast<u64>(list) * dim;
    float* const row = rows + blockIdx.x * stride;
    for (u32 k = threadIdx.x; k < dim; k += blockDim.x) row[k] += centre[k];
}
NEARFIELD_KERNEL(add_centres)

/// One thread a row: -infinity for one without a name. bias: of all rows, or null.
extern "C" __global__ void leave_out_nameless(const nearfield::u32* names, const float* bias,
                                              nearfield::u32 count, float* out) {
    using namespace nearfield;
    const u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= count) return;
    out[row] = names[row] == kNoId ? -infinity() : bias != nullptr ? bias[row] : 0.0f;
}
NEARFIELD_KERNEL(leave_out_nameless)
