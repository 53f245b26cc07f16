// Search of rows as a linear map has them: queries are folded, rows stay as they are (kernels/folded.cu).
//
// Every score in float64, as ExactPass; ids and their order are the CPU engine's.
// Cost: 2 rows queries dim float64 multiply-adds; 8 bytes a score, for a tile of queries at a time.
#pragma once

#include "cuda/search/exact_pass.h"

namespace nearfield::cuda {

/// A map on the device, float64: see fold_queries.
struct FoldedMap {
    CUdeviceptr left = 0;  // 0: a matrix
    CUdeviceptr weights = 0;
    CUdeviceptr right = 0;
    std::size_t rank = 0;
    CUdeviceptr lengths = 0;  // of mapped rows; 0 under ip
};

/// Queries of the request: dense float32. Its constants are not read.
std::size_t folded_scratch_bytes(const SearchRequest& request, const FoldedMap& map);
void folded_topk(const StreamRef& stream, const SearchRequest& request, const FoldedMap& map,
                 const SearchOut& out, CUdeviceptr scratch);

}  // namespace nearfield::cuda
