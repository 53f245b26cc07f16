// Where the maxima of each query's probed lists go, and how many items every list makes; see
// list_maxima.cuh. Cost: a step a pair, one a list. Source: own.

#include "device.cuh"

namespace nearfield {
namespace {

constexpr u32 kGroupRows = 32;

}  // namespace
}  // namespace nearfield

/// One thread a query. places: nprobe + 1 a query; groups[q]: all of them.
extern "C" __global__ void place_probes(const nearfield::u32* probes, nearfield::u32 queries,
                                        nearfield::u32 nprobe, const nearfield::u32* offsets,
                                        nearfield::u32* places, nearfield::u32* groups) {
    using namespace nearfield;
    const u32 q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= queries) return;
    u32 place = 0;
    for (u32 j = 0; j < nprobe; ++j) {
        const u32 list = probes[static_cast<u64>(q) * nprobe + j];
        places[static_cast<u64>(q) * (nprobe + 1) + j] = place;
        place += (offsets[list + 1] - offsets[list] + kGroupRows - 1) / kGroupRows;
    }
    places[static_cast<u64>(q) * (nprobe + 1) + nprobe] = place;
    groups[q] = place;
}
NEARFIELD_KERNEL(place_probes)

/// One thread a list and one more. first: where each list's pairs start.
extern "C" __global__ void count_items(const nearfield::u32* offsets, const nearfield::u32* first,
                                       nearfield::u32 lists, nearfield::u32 qm, nearfield::u32 rn,
                                       nearfield::u32* items) {
    using namespace nearfield;
    const u32 list = blockIdx.x * blockDim.x + threadIdx.x;
    if (list > lists) return;
    if (list == lists) {
        items[list] = 0;
        return;
    }
    const u32 pairs = first[list + 1] - first[list], rows = offsets[list + 1] - offsets[list];
    items[list] = (pairs + qm - 1) / qm * ((rows + rn - 1) / rn);
}
NEARFIELD_KERNEL(count_items)
