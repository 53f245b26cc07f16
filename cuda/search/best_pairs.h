// The best pairs of queries whose rows come part by part: those of a part join those of the parts before it.
//
// Cost: a selection of k out of 2 k a query and part. Source: kernels/join_pairs.cu, kernels/select_k.cu.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

class BestPairs {
public:
    /// Reserves scratch memory for `queries` and k pairs of each.
    BestPairs(std::size_t queries, std::size_t k, Scratch& scratch);

    Pairs at(CUdeviceptr scratch) const { return {scratch + keys_, scratch + rows_}; }

    /// Enqueues: pairs of a part, `found` a query, whose rows are counted from row `first`. lengths: a query of
    /// length 0 keeps what was placed before; 0: none does.
    void place(const StreamRef& stream, const QueryTile& q, const Pairs& pairs, std::size_t found,
               std::size_t first, CUdeviceptr lengths, CUdeviceptr scratch) const;

    /// Enqueues: the best of what there was and what was placed. begins: there was nothing.
    void join(const StreamRef& stream, bool begins, CUdeviceptr scratch) const;

private:
    void place_at(const StreamRef& stream, const QueryTile& q, const Pairs& pairs,
                  std::size_t found, std::size_t first_row, CUdeviceptr lengths, std::size_t place,
                  CUdeviceptr at) const;
    void select(const StreamRef& stream, std::size_t first, std::size_t count,
                CUdeviceptr at) const;

    std::size_t queries_, k_;
    std::size_t keys_ = 0, rows_ = 0, both_keys_ = 0, both_rows_ = 0, select_keys_ = 0;
};

}  // namespace nearfield::cuda
