// The lists of rows that are added to an inverted file: the nearest centroid of every row, found on a device.
//
// Cost: a copy of the rows to the device, in blocks; nearest.h. Waits for each block. Source: own.
#pragma once

#include <vector>

#include "base/view.h"
#include "cuda/runtime/stream.h"

namespace nearfield::cuda {

/// Of rows in host memory, as FlatCoarse finds it. centroids: nlist x cols floats, at unit length unless metric
/// is l2. std::invalid_argument names the first row that is not finite.
std::vector<Id> lists_of(const StreamRef& stream, const RowsView& rows, const float* centroids,
                         std::size_t nlist, Metric metric);

}  // namespace nearfield::cuda
