// A search on a device whose results are to be merged with those of other parts of the rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "cuda/cuda.h"
#include "device_array.h"

namespace nearfield::bindings {

/// Enqueues search(stream, out, scratch) in memory of its own; on: a device and a stream of it. lists: where
/// RankedLists of that many queries and k go. Call it without the GIL.
template <class Search>
void search_ranked_in(const std::pair<int, std::uintptr_t>& on, std::size_t queries, std::size_t k,
                      std::size_t scratch_bytes, std::uintptr_t lists, const Search& search) {
    const cuda::StreamRef stream = stream_of(on.first, on.second);
    const cuda::DeviceBuffer counts(stream, queries * sizeof(std::int64_t));
    const cuda::DeviceBuffer scratch(stream, scratch_bytes);
    search(stream, cuda::RankedLists(queries, k).at(lists, counts.address()), scratch.address());
}

}  // namespace nearfield::bindings
