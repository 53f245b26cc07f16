// Pairs of a part of the rows beside those of the parts before it, to be selected from together.
//
// Cost: one read and write of the pairs. Source: own.

#include "device.cuh"

/// A block a query. Pair j of query q goes to out[q * 2 k + place + j], its row raised by first_row; past
/// `found` there is none. keys null: of all queries there is none. lengths: a query of length 0 is left as it
/// is; null: none is.
extern "C" __global__ void place_pairs(const double* keys, const nearfield::u32* rows,
                                       nearfield::u32 found, nearfield::u32 first_row,
                                       const nearfield::u32* lengths, nearfield::u32 k,
                                       nearfield::u32 place, double* out_keys,
                                       nearfield::u32* out_rows) {
    using namespace nearfield;
    const u64 query = blockIdx.x;
    if (lengths != nullptr && lengths[query] == 0) return;
    const u32 count = keys != nullptr ? found : 0;
    for (u32 j = threadIdx.x; j < k; j += blockDim.x) {
        const u64 at = query * 2 * k + place + j;
        const u32 row = j < count ? rows[query * found + j] : kNoId;
        out_keys[at] = row != kNoId ? keys[query * found + j] : -static_cast<double>(infinity());
        out_rows[at] = row != kNoId ? first_row + row : kNoId;
    }
}
NEARFIELD_KERNEL(place_pairs)
