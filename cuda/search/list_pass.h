// The k best rows of the lists that each query looks into, every list read once for all queries that want it.
//
// As GroupPass, but list by list: pairs of a query and a list are sorted by list, blocks take parts of a list
// times up to a tile of its queries and keep the best of each 32 rows; groups that can hold a winner are scored
// once more in float64. Where they are more than there is room for, counts says so, and the query is left to
// OpenPass. Nothing is decided on the host, so nothing waits.
// Cost: 2 dim a pair of query and probed row, one read of the probed lists.
// Source: kernels/list_maxima.cuh.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/group_pass.h"
#include "cuda/search/listed_rows.h"
#include "cuda/search/pair_sort.h"
#include "cuda/search/row_mask.h"

namespace nearfield::cuda {

class ListPass {
public:
    ListPass(const ListRequest& request, Scratch& scratch);

    /// Queries at a time.
    std::size_t tile() const noexcept { return tile_; }
    /// Groups of a query that are scored once more, at most.
    std::size_t capacity() const noexcept { return capacity_; }
    /// Whether a query may have more of them.
    bool may_cut() const noexcept { return capacity_ < stride_; }

    /// Pairs a query.
    std::size_t found() const noexcept { return found_count_; }

    /// Pairs of float64 keys and names, best first, and, uint32 a query, how many groups had to be scored.
    struct Found {
        Pairs pairs;
        CUdeviceptr counts;
    };
    /// Enqueues the search of a tile.
    Found run(const StreamRef& stream, const QueryTile& queries, CUdeviceptr probes,
              const Answering& rows, CUdeviceptr scratch) const;

private:
    struct Items;

    void prepare_queries(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    Items place(const StreamRef& stream, const QueryTile& q, CUdeviceptr probes,
                CUdeviceptr at) const;
    void scan(const StreamRef& stream, const QueryTile& q, const Items& items, CUdeviceptr bias,
              CUdeviceptr at) const;
    void select_groups(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void rescore(const StreamRef& stream, const QueryTile& q, CUdeviceptr probes, CUdeviceptr names,
                 CUdeviceptr at) const;
    std::size_t bytes_of_query() const noexcept;

    const ListRequest& r_;
    ScanForm form_;
    RowConstants constants_;
    std::size_t stride_, capacity_, found_count_, prepared_stride_, tile_;
    PairSort sort_;
    std::size_t prepared_, unit_, margin_, query_norms_, init_;  // of queries
    std::size_t places_, groups_, items_;                        // of pairs and lists
    std::size_t maxima_, best_, best_ids_, best_keys_;           // of groups
    std::size_t lists_, counts_, keys_, rows_, pairs_;           // of the rows of groups
    std::size_t select_keys_, found_, found_rows_;
};

}  // namespace nearfield::cuda
