// The nearest ones of many rows among each other, by searches on a device: what takes most of the time of making
// a graph over them.
//
// Rows are copied to the device once; blocks of them are searched as queries, and what is found comes back. Few
// rows are compared with all others, many with those of the lists nearest to them (list_search.h): the lists that
// the CPU's own build has, and as many of them.
// Waits for every block. Cost: rows^2 dim operations on the device, or rows dim for each row of the lists looked
// into; 12 bytes back for each one found. Source: own; index/hnsw/bulk.h says what is made of it.
#pragma once

#include "cuda/runtime/device.h"
#include "index/hnsw/bulk.h"

namespace nearfield::cuda {

/// Rows have to be kept as they are. most_compared: rows that are compared with all others, at most; 0: as many
/// as makes a row meet 16 times those that lists would have it meet. Throws DeviceError.
NearestSource nearest_on(Device& device, std::size_t most_compared = 0);

}  // namespace nearfield::cuda
