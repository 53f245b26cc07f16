// Results that can be merged: with the float64 keys they were chosen by, from parts of the rows.
//
// Parts may be searched anywhere and by anything that ends in finish() (cuda/search/exact_pass.h): what is
// merged knows no rows, metric or kind of index. Cost of a merge: kernels/merge_ranked.cu.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

/// Where the lists of one part lie: keys, ids and scores, queries x k of each.
class RankedLists {
public:
    RankedLists(std::size_t queries, std::size_t k) : queries_(queries), k_(k) {}

    std::size_t queries() const noexcept { return queries_; }
    std::size_t k() const noexcept { return k_; }
    /// Of one part; also how far apart those of two parts lie.
    std::size_t bytes() const noexcept { return round_up(20 * queries_ * k_, 256); }

    /// The lists at an address, as a search writes them.
    SearchOut at(CUdeviceptr lists, CUdeviceptr counts) const noexcept {
        const std::size_t entries = queries_ * k_;
        return {lists + 8 * entries, lists + 16 * entries, counts, lists};
    }

private:
    std::size_t queries_, k_;
};

/// Enqueues a copy of a tile's keys to out: queries x k, -infinity where nothing was found.
void keep_keys(const StreamRef& stream, CUdeviceptr out, const QueryTile& queries, std::size_t k,
               const Pairs& pairs, std::size_t found, CUdeviceptr lengths);

/// Enqueues the merge of `parts` lists of one layout, one behind the other, into results. A label is in one
/// part only.
void merge_ranked(const StreamRef& stream, const RankedLists& layout, std::size_t parts,
                  CUdeviceptr lists, const SearchOut& out);

/// Enqueues to[i] = from[order[i]] for n bytes; order is uint32.
void pick_bytes(const StreamRef& stream, CUdeviceptr from, CUdeviceptr order, std::size_t n,
                CUdeviceptr to);

}  // namespace nearfield::cuda
