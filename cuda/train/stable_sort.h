// Rows listed by small numbers: by the list or cluster each belongs to, equal numbers in the order of rows.
//
// Cost: per eight bits of the largest number two reads and one write of a pair a row; 16 bytes of scratch
// memory a row. Source: kernels/sort_pairs.cu.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

class StableSort {
public:
    /// `count` numbers below `below`; at least one.
    StableSort(std::size_t count, std::size_t below, Scratch& scratch);

    /// Enqueues it. numbers: count u32, which stay as they are.
    void run(const StreamRef& stream, CUdeviceptr numbers, CUdeviceptr scratch) const;

    /// Row numbers by rising number, and where each number's begin: below + 1 of them.
    CUdeviceptr order(CUdeviceptr scratch) const noexcept { return scratch + order_[last_]; }
    CUdeviceptr offsets(CUdeviceptr scratch) const noexcept { return scratch + offsets_; }

private:
    std::size_t count_, below_, each_, blocks_, passes_, last_;
    std::size_t counts_, offsets_;
    std::size_t numbers_[2], order_[2];
};

}  // namespace nearfield::cuda
