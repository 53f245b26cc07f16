// Every score in float64, written, and the best of them selected: the search by definition.
//
// What kernels/exact.cu computes is in the order of sums of the CPU engine, so ids and their order are its.
// Cost: rows x queries x dim float64 multiply-adds; 8 bytes a score, for `tile()` queries at a time.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/folded_queries.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

class ExactPass {
public:
    /// Reserves scratch memory for tiles of at most `most_queries`. folded: of a request with a map.
    ExactPass(const SearchRequest& request, std::size_t most_queries, Scratch& scratch,
              const FoldedQueries* folded = nullptr);

    /// Queries at a time.
    std::size_t tile() const noexcept { return tile_; }

    /// Pairs a query: k, or all rows.
    std::size_t found() const noexcept { return found_; }

    /// Enqueues the search of a tile; none where there are no rows. lengths: of its queries, 0 for one that
    /// is not asked; 0: all are.
    Pairs find(const StreamRef& stream, const QueryTile& queries, CUdeviceptr scratch,
               CUdeviceptr lengths = 0) const;

    /// The same, as results.
    void run(const StreamRef& stream, const SearchOut& out, const QueryTile& queries,
             CUdeviceptr scratch, CUdeviceptr lengths = 0) const;

private:
    void score(const StreamRef& stream, const QueryTile& queries, CUdeviceptr scratch,
               CUdeviceptr lengths) const;
    Pairs select(const StreamRef& stream, std::size_t count, CUdeviceptr scratch,
                 CUdeviceptr lengths) const;
    void select_k(const StreamRef& stream, const Pairs& in, std::size_t length, std::size_t count,
                  std::size_t slices, CUdeviceptr scratch, CUdeviceptr lengths,
                  const Pairs& best) const;

    const SearchRequest& r_;
    const FoldedQueries* folded_;
    std::size_t found_ = 0;
    std::size_t slices_ = 1;  // blocks that share the rows of a query
    std::size_t tile_ = 1;
    std::size_t scores_ = 0, keys_ = 0, best_ = 0, best_rows_ = 0, few_ = 0, few_rows_ = 0;
};

/// Enqueues what turns the pairs of a tile, `found` a query, into results.
void finish(const StreamRef& stream, const SearchRequest& request, const SearchOut& out,
            const QueryTile& queries, const Pairs& pairs, std::size_t found,
            CUdeviceptr lengths = 0);

/// Keys of select_k_radix_f64 that fit the shared memory of a block; more go to scratch memory.
inline constexpr std::size_t kKeyBytes = 16;
inline constexpr std::size_t kMostSharedKeys = 40 * 1024 / kKeyBytes;

}  // namespace nearfield::cuda
