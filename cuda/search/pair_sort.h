// Positions sorted by a small number each has: the members of lists or clusters, side by side.
//
// Stable, so the order is the same for any grid.
// Cost: per eight bits of the numbers two reads and one write of the pairs. Source: kernels/sort_pairs.cu.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

class PairSort {
public:
    /// Of at most `most` numbers below `below`.
    PairSort(std::size_t most, std::size_t below, Scratch& scratch);

    /// Addresses of uint32: the positions in the order of their numbers, and, below + 1 of them, where each
    /// number starts among these.
    struct Sorted {
        CUdeviceptr positions;
        CUdeviceptr offsets;
    };

    /// Enqueues the sorting of `count` numbers, one at least.
    Sorted run(const StreamRef& stream, CUdeviceptr numbers, std::size_t count,
               CUdeviceptr scratch) const;

private:
    std::size_t below_;
    std::size_t counts_, offsets_;
    std::size_t numbers_[2], positions_[2];
};

}  // namespace nearfield::cuda
