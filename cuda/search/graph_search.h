// The k best rows of every query by a walk in a graph, or by all rows where that is the better way.
//
// Where rows lie rotated queries are rotated first; where they count as unit vectors (decoded ones, under cosine)
// inner products rank them and only results are divided by |q|, as on the CPU.
// Everything is enqueued on the caller's stream; nothing waits.
#pragma once

#include "cuda/runtime/memory.h"
#include "cuda/search/graph_pass.h"

namespace nearfield::cuda {

/// Bytes that search_graph() wants to work in. std::invalid_argument for sizes that do not fit.
std::size_t graph_scratch_bytes(const Device& device, const GraphRequest& request);

/// Enqueues the search. scratch: graph_scratch_bytes() of memory, aligned to 256 bytes, that nobody else uses
/// before the stream is past this call.
void search_graph(const StreamRef& stream, const GraphRequest& request, const SearchOut& out,
                  CUdeviceptr scratch);

/// out[i] = mask[order[i]] for a mask of `count` bytes in another order.
void order_mask(const StreamRef& stream, CUdeviceptr mask, CUdeviceptr order, std::size_t count,
                CUdeviceptr out);

}  // namespace nearfield::cuda
