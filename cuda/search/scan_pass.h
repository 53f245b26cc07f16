// A way to search float rows by scores that are bounded, not exact: what RowPasses needs of it.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

class ScanPass {
public:
    virtual ~ScanPass() = default;

    /// Queries at a time.
    virtual std::size_t tile() const noexcept = 0;

    /// Enqueues what all tiles need of the rows, where it is not there yet.
    virtual void prepare_rows(const StreamRef& stream, CUdeviceptr scratch) const = 0;

    /// Enqueues the map of all queries that are to be mapped first, and what tiles need of them.
    virtual void map_queries(const StreamRef& stream, CUdeviceptr scratch) const = 0;

    /// What a tile found: k pairs a query, and, per query, how many rows are left to an exact pass, all or
    /// none.
    struct Found {
        Pairs pairs;
        CUdeviceptr lengths = 0;
    };

    /// Enqueues the search of a tile.
    virtual Found run(const StreamRef& stream, const QueryTile& queries,
                      CUdeviceptr scratch) const = 0;
};

}  // namespace nearfield::cuda
