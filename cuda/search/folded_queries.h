// Queries of a search of rows as a linear map has them: folded, so that rows stay as they are, and what
// becomes of scores (kernels/folded.cu).
//
// A folded query has twice the digits of float32, in a high part and a low one. Scans multiply the high part,
// whose bound leaves room for the low one (kernels/margin.cuh); exact scores take both, in the CPU engine's order.
// Cost: 3 dim rank float64 multiply-adds a query; 2 dim a score.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

/// Groups of rows that a scan left to each query, and where their keys go; see rescore_folded.
struct GroupKeys {
    CUdeviceptr lists = 0;
    CUdeviceptr counts = 0;
    std::size_t capacity = 0;
    CUdeviceptr keys = 0;
    CUdeviceptr rows = 0;
    CUdeviceptr pairs = 0;
};

class FoldedQueries {
public:
    /// Of a request that has a map. Reserves scratch memory. The request must outlive it.
    FoldedQueries(const SearchRequest& request, Scratch& scratch);

    /// Enqueues the folding of all queries, dense float32.
    void fold(const StreamRef& stream, CUdeviceptr queries, CUdeviceptr scratch) const;

    /// High parts from a query on, 2 dim elements apart; low parts are dim elements behind them.
    CUdeviceptr high(std::size_t query, CUdeviceptr scratch) const noexcept {
        return scratch + folded_ + query * 2 * r_.rows.cols * sizeof(float);
    }

    /// Enqueues the keys of a tile and all rows. asked: of its queries, 0 for one that is not; 0: all are.
    void score(const StreamRef& stream, const QueryTile& queries, CUdeviceptr asked,
               CUdeviceptr keys, CUdeviceptr scratch) const;

    /// Enqueues the keys of a tile and the rows of groups; `slices` blocks a query.
    void rescore(const StreamRef& stream, const QueryTile& queries, unsigned slices,
                 const GroupKeys& groups, CUdeviceptr scratch) const;

    /// Enqueues what turns the best keys of a tile, `found` a query, into those of mapped rows.
    void finish(const StreamRef& stream, const QueryTile& queries, CUdeviceptr asked,
                std::size_t found, CUdeviceptr keys) const;

    CUdeviceptr lengths() const noexcept { return r_.fold->lengths; }

private:
    const SearchRequest& r_;
    std::size_t factors_ = 0, folded_ = 0;
};

}  // namespace nearfield::cuda
