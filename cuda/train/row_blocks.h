// RowBlocks: rows of any type, block by block, as kernels for floats take them: bytes are widened to float32
// in scratch memory, others stay where they are. Cost: of bytes a copy. Source: own.
#pragma once

#include "cuda/runtime/stream.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

class RowBlocks {
public:
    /// At most `most` rows at a time.
    RowBlocks(const DeviceRows& rows, std::size_t most, Scratch& scratch);

    const DeviceRows& rows() const noexcept { return rows_; }
    /// The type that kernels see.
    DType dtype() const noexcept { return widens_ ? DType::kF32 : rows_.dtype; }
    /// Rows of a block but the last.
    std::size_t size() const noexcept { return size_; }

    /// The block from row `first` on, once what this enqueues is done.
    DeviceRows block(const StreamRef& stream, std::size_t first, CUdeviceptr scratch) const;

private:
    DeviceRows rows_;
    bool widens_;
    std::size_t size_, widened_;
};

}  // namespace nearfield::cuda
