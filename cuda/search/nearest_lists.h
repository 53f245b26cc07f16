// The nearest ones of many rows among each other, by exact search on a device: what takes most of the time of
// making a graph over them.
//
// Rows are copied to the device once; blocks of them are searched as queries, and what is found comes back.
// Waits for every block. Cost: rows^2 dim operations on the device, 12 bytes back for each one found.
// Source: own; index/hnsw/bulk.h says what is made of it.
#pragma once

#include "cuda/runtime/device.h"
#include "index/hnsw/bulk.h"

namespace nearfield::cuda {

/// Rows have to be kept as they are. Throws DeviceError.
NearestSource nearest_on(Device& device);

}  // namespace nearfield::cuda
