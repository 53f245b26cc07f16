// How many queries took the long way: a number on the device, for whoever wants to know.
//
// A scan that cannot prove its answer leaves the query to exact scores of all rows (or of its lists), without
// telling the host. Where a counter is set, each such pass adds its queries to it: one launch more a tile.
// Nothing is launched otherwise, and nothing waits.
#pragma once

#include <cstddef>

#include "cuda/runtime/stream.h"

namespace nearfield::cuda {

/// Enqueues the counting of lengths that are not 0, where the stream's device has a counter.
void count_fallbacks(const StreamRef& stream, CUdeviceptr lengths, std::size_t queries);

}  // namespace nearfield::cuda
