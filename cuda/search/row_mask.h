// Which rows of lists may answer: all of them, or those of a mask.
//
// A row that may not has no name and a bias of minus infinity, so neither a scan nor exact scores see it.
// Cost: with a mask one pass over the rows' names, 8 bytes a row; without one nothing.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/listed_rows.h"

namespace nearfield::cuda {

/// Where a search finds what a mask changes.
struct Answering {
    CUdeviceptr names = 0;
    CUdeviceptr bias = 0;  // 0: none
    CUdeviceptr allowed =
        0;  // uint32 a list, the empty one too: of all rows those that may; 0: all
};

class RowMask {
public:
    RowMask(const ListRequest& request, Scratch& scratch);

    /// Enqueues what makes the mask count. bias: of all rows, 0: none.
    Answering apply(const StreamRef& stream, CUdeviceptr bias, CUdeviceptr scratch) const;

private:
    const ListRequest& r_;
    std::size_t names_ = 0, bias_ = 0, allowed_ = 0;
};

}  // namespace nearfield::cuda
