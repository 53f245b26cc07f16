#include "cuda/train/row_blocks.h"

#include <algorithm>

#include "cuda/search/plain_queries.h"

namespace nearfield::cuda {
namespace {

constexpr std::size_t kWidenedBytes = std::size_t{64} << 20;
constexpr std::size_t kFewest = 128;

std::size_t size_for(const DeviceRows& rows, std::size_t most) {
    const std::size_t fitting = std::max(kWidenedBytes / (sizeof(float) * rows.cols), kFewest);
    return std::min({most, rows.rows, are_bytes(rows.dtype) ? fitting : most});
}

}  // namespace

RowBlocks::RowBlocks(const DeviceRows& rows, std::size_t most, Scratch& scratch)
    : rows_(rows),
      widens_(are_bytes(rows.dtype)),
      size_(size_for(rows, most)),
      widened_(scratch.take(widens_ ? size_ * rows.cols * sizeof(float) : 0)) {}

DeviceRows RowBlocks::block(const StreamRef& stream, std::size_t first, CUdeviceptr at) const {
    DeviceRows some = rows_;
    some.address += first * rows_.stride * size_of(rows_.dtype);
    some.rows = std::min(size_, rows_.rows - first);
    if (!widens_) return some;
    widen(stream, some, at + widened_);
    return {at + widened_, some.rows, some.cols, some.cols, DType::kF32};
}

}  // namespace nearfield::cuda
