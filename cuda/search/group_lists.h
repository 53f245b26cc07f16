// What becomes of group maxima: the best of them, lists of the groups that reach a floor, and the exact
// scores of their rows.
//
// Lists are cut at their capacity; cut() says of which queries. Nothing is decided on the host.
// Cost: a selection and a read of the maxima; kGroupRows exact scores a group. Source: kernels/rescore.cu.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/folded_queries.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

class GroupLists {
public:
    /// Reserves scratch memory for `tile` queries, `wanted` best maxima and `capacity` groups of each. The
    /// request must outlive it. folded: of a request with a map.
    GroupLists(const SearchRequest& request, std::size_t tile, std::size_t wanted,
               std::size_t capacity, Scratch& scratch, const FoldedQueries* folded = nullptr);

    /// groups_of(rows) a query, side by side; what a scan writes.
    CUdeviceptr maxima(CUdeviceptr at) const noexcept { return at + maxima_; }

    /// Enqueues the selection of the `wanted` largest maxima of each query, falling.
    void select(const StreamRef& stream, std::size_t queries, CUdeviceptr at) const;
    CUdeviceptr best(CUdeviceptr at) const noexcept { return at + best_; }

    /// Enqueues lists of the groups that reach the last of a query's `each` floors less two margins.
    void collect(const StreamRef& stream, std::size_t queries, CUdeviceptr floors, std::size_t each,
                 CUdeviceptr margin, CUdeviceptr at) const;

    /// Enqueues the exact scores of their rows and the selection of the k best. norms: of rows, float64.
    Pairs rescore(const StreamRef& stream, const QueryTile& q, CUdeviceptr norms,
                  CUdeviceptr at) const;

    /// Enqueues, per query, how many rows are left to an exact pass: all where its list was cut.
    CUdeviceptr cut(const StreamRef& stream, std::size_t queries, CUdeviceptr at) const;

private:
    void score(const StreamRef& stream, const QueryTile& q, CUdeviceptr norms,
               CUdeviceptr at) const;

    const SearchRequest& r_;
    const FoldedQueries* folded_;
    std::size_t groups_, wanted_, capacity_, slices_;
    std::size_t maxima_, best_, best_ids_, best_keys_;  // of groups
    std::size_t parts_ = 0, part_ids_ = 0;
    std::size_t lists_, counts_, keys_, rows_, pairs_, select_keys_;  // of the rows of groups
    std::size_t found_, found_rows_, lengths_;
};

/// Queries whose maxima fit 256 MB, 128 at least and 4,096 at most.
std::size_t queries_of_maxima(const SearchRequest& request) noexcept;

}  // namespace nearfield::cuda
