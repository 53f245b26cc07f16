// Queries as searches read them: float32, one behind the other.
//
// Where they lie so already nothing is done.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

/// Enqueues a copy of a matrix as dense float32.
void widen(const StreamRef& stream, const DeviceRows& from, CUdeviceptr to);

class PlainQueries {
public:
    PlainQueries(const DeviceRows& queries, Scratch& scratch);

    /// Enqueues the widening; where the queries are then.
    CUdeviceptr make(const StreamRef& stream, CUdeviceptr scratch) const;

private:
    DeviceRows queries_;
    bool widens_;
    std::size_t widened_ = 0;
};

}  // namespace nearfield::cuda
