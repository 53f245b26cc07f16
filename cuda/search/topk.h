// Exact search over rows on a device: the k best of all rows for every query, in the order of float64
// scores, ties by smaller id. What the CPU engine answers.
//
// Everything is enqueued on the caller's stream; nothing waits.
#pragma once

#include "cuda/runtime/memory.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

/// Bytes of what searches of the same rows can share: compute_constants() fills them once, and
/// SearchRequest::constants names them.
std::size_t constants_bytes(const DeviceRows& rows);
void compute_constants(const StreamRef& stream, const DeviceRows& rows, Metric metric,
                       CUdeviceptr at);

/// Bytes that topk() wants to work in. std::invalid_argument for sizes that do not fit.
std::size_t scratch_bytes(const SearchRequest& request);

/// Enqueues the search. scratch: scratch_bytes() of memory, aligned to 256 bytes, that nobody else uses
/// before the stream is past this call; 0: memory of the driver's.
void topk(const StreamRef& stream, const SearchRequest& request, const SearchOut& out,
          CUdeviceptr scratch = 0);

}  // namespace nearfield::cuda
