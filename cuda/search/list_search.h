// Search of rows in lists on a device: the k best rows of the nprobe lists nearest to each query, in the order
// of float64 scores, ties by smaller name. What the CPU's IvfIndex answers.
//
// Everything is enqueued on the caller's stream; nothing waits.
#pragma once

#include "cuda/runtime/memory.h"
#include "cuda/search/listed_rows.h"

namespace nearfield::cuda {

/// Bytes of what searches of the same rows share, see ListedRows::constants.
std::size_t list_constants_bytes(const DeviceRows& rows);
void compute_list_constants(const StreamRef& stream, const DeviceRows& rows, Metric metric,
                            CUdeviceptr at);

/// std::invalid_argument for sizes that do not fit.
void check_sizes(const ListRequest& request);
/// Enqueues results that are all missing; queries are not read.
void find_nothing(const StreamRef& stream, const ListRequest& request, const SearchOut& out);

/// Bytes that search_lists() wants to work in. std::invalid_argument for sizes that do not fit.
std::size_t list_scratch_bytes(const ListRequest& request);

/// Enqueues the search. scratch: list_scratch_bytes() of memory, aligned to 256 bytes, that nobody else uses
/// before the stream is past this call.
void search_lists(const StreamRef& stream, const ListRequest& request, const SearchOut& out,
                  CUdeviceptr scratch);

}  // namespace nearfield::cuda
