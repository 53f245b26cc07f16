// The links of a new graph, made on a device: the nearest rows of every row (nearest_rows.h), what each is linked
// to of these, and links back. The CPU's rule and distances, so that of the same candidates come the same links.
//
// Rows in bytes and what each row chose lie on the device until all is done; links back are made for as many nodes
// at a time as a fixed memory holds. What comes back are the links.
// Waits for every block. Memory: dim + 12 bytes a row beside the rows, and 8 for each link. Source:
// kernels/choose_links.cu.
#pragma once

#include "cuda/runtime/device.h"
#include "index/hnsw/bulk.h"

namespace nearfield::cuda {

/// most_compared: see find_nearest(). Throws DeviceError; links are not written then.
LinkSource links_on(Device& device, std::size_t most_compared = 0);

}  // namespace nearfield::cuda
