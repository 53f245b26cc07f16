// The nearest ones of many rows among each other, by searches on a device: what takes most of the time of making
// a graph over them.
//
// Rows are copied to the device once; blocks of them are searched as queries. Few rows are compared with all
// others, many with those of the lists nearest to them (list_search.h): the lists that the CPU's own build has,
// and as many of them.
// Waits for every block. Cost: rows^2 dim operations on the device, or rows dim for each row of the lists looked
// into. Source: own; index/hnsw/bulk.h says what is made of it.
#pragma once

#include <functional>

#include "cuda/runtime/stream.h"
#include "index/hnsw/bulk.h"

namespace nearfield::cuda {

/// Gets the rows nearest to rows first, first + 1 ..: k int64 each on the device, in no order, -1 where there are
/// fewer; the row itself may be among them. What it enqueues on the stream is done before they change.
using TakeIds =
    std::function<void(std::size_t first, std::size_t count, CUdeviceptr ids, std::size_t k)>;

/// Rows have to be kept as they are. most_compared: rows that are compared with all others, at most; 0: as many
/// as makes a row meet 16 times those that lists would have it meet. Throws DeviceError.
void find_nearest(const StreamRef& stream, const LinkTask& task, std::size_t most_compared,
                  const TakeIds& take);

}  // namespace nearfield::cuda
