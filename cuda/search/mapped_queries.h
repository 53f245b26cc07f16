// Queries that a search maps before it reads them: dense float32, and what a scan multiplies in the same launch.
//
// Exact scores read the floats, so they are written whatever else is. A search that folds its queries, or that
// scores all rows exactly, maps them by a launch of their own.
#pragma once

#include "cuda/search/row_map.h"

namespace nearfield::cuda {

class MappedQueries {
public:
    /// Of a request whose queries are unmapped. Reserves scratch memory. The request must outlive it.
    MappedQueries(const SearchRequest& request, Scratch& scratch);

    /// Where they are once they are mapped.
    CUdeviceptr floats(CUdeviceptr scratch) const noexcept { return scratch + floats_; }

    /// Enqueues the map alone.
    void make(const StreamRef& stream, CUdeviceptr scratch) const;

    /// Enqueues the map with the preparation for a scan.
    void make(const StreamRef& stream, const PreparedForm& form, CUdeviceptr scratch) const;

private:
    const SearchRequest& r_;
    std::size_t floats_;
    RowMapper mapper_;
};

}  // namespace nearfield::cuda
