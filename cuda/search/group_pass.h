// Exact search by group maxima: a scan on tensor cores keeps the best of each 32 rows, the groups that can
// hold a winner are scored once more in float64.
//
// What the scan rounds is bounded (kernels/margin.cuh), so the groups collected hold every winner and every
// tie; where they are more than a list takes, the query is left to ExactPass. Nothing is decided on the
// host, so nothing waits.
// Cost: 2 rows queries dim operations in the rows' own type, one read of the rows for their constants.
// Source: kernels/group_maxima.cuh.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

class GroupPass {
public:
    /// For float rows, many more of them than are asked for, all of which may answer.
    static bool suits(const SearchRequest& request) noexcept;

    GroupPass(const SearchRequest& request, Scratch& scratch);

    std::size_t tile() const noexcept { return tile_; }

    /// Enqueues what all tiles need of the rows.
    void prepare_rows(const StreamRef& stream, CUdeviceptr scratch) const;

    /// Enqueues the search of a tile; where, per query, the rows are counted that are left to an exact pass.
    CUdeviceptr run(const StreamRef& stream, const SearchOut& out, const QueryTile& queries,
                    CUdeviceptr scratch) const;

private:
    void prepare_queries(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void scan(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void select_groups(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void rescore(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;

    const SearchRequest& r_;
    std::size_t groups_, capacity_, tile_, prepared_stride_;
    std::size_t norms_, scale_, bias_, limits_;                       // of rows
    std::size_t prepared_, unit_, margin_, query_norms_;              // of queries
    std::size_t maxima_, best_, best_ids_, best_keys_;                // of groups
    std::size_t lists_, counts_, keys_, rows_, pairs_, select_keys_;  // of the rows of groups
    std::size_t found_, found_rows_, lengths_;
};

}  // namespace nearfield::cuda
