// Exact search over decoded rows: what a flat index of codes answers on the CPU (decision 0007).
//
// Rows are decoded a slice at a time and searched as any rows are; the best of a slice join those of the
// slices before it. Scratch memory is bounded by a slice, however many rows there are. Nothing waits.
// Cost: a decode and a search of all rows. Source: own.
#pragma once

#include "cuda/search/coded_rows.h"

namespace nearfield::cuda {

struct CodedRequest {
    DeviceRows queries;
    const CodedRows& coded;
    Metric metric = Metric::kL2;
    std::size_t k = 1;
    CUdeviceptr mask = 0;        // one byte per row, zero for no; 0: every row may answer
    CUdeviceptr labels = 0;      // int64 per row; 0: a row is called by its number
    std::size_t slice_rows = 0;  // decoded at a time; 0: as many as take 256 MB
    Scan scan = Scan::kGroups;   // of a slice
};

/// Bytes that search_coded() works in. std::invalid_argument for sizes that do not fit.
std::size_t coded_scratch_bytes(const CodedRequest& request);

/// Enqueues the search. scratch: memory aligned to 256 bytes that nobody else uses before the stream is past
/// this call.
void search_coded(const StreamRef& stream, const CodedRequest& request, const SearchOut& out,
                  CUdeviceptr scratch);

}  // namespace nearfield::cuda
