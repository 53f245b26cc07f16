#include "cuda/train/row_blocks.h"

#include <algorithm>
#include <string>

#include "cuda/runtime/launch.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr std::size_t kWidenedBytes = std::size_t{64} << 20;
constexpr std::size_t kFewest = 128;
constexpr std::size_t kMostBlocks = 1 << 16;

bool is_bytes(DType dtype) noexcept { return dtype == DType::kI8 || dtype == DType::kU8; }

std::size_t size_for(const DeviceRows& rows, std::size_t most) {
    const std::size_t fitting = std::max(kWidenedBytes / (sizeof(float) * rows.cols), kFewest);
    return std::min({most, rows.rows, is_bytes(rows.dtype) ? fitting : most});
}

}  // namespace

RowBlocks::RowBlocks(const DeviceRows& rows, std::size_t most, Scratch& scratch)
    : rows_(rows),
      widens_(is_bytes(rows.dtype)),
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

void widen(const StreamRef& stream, const DeviceRows& rows, CUdeviceptr to) {
    const std::string name = std::string("widen_") + suffix(rows.dtype);
    const auto blocks = static_cast<unsigned>(std::min(rows.rows, kMostBlocks));
    launch(stream, {"exact.cu", name.c_str()}, {{blocks, 1, 1}, {128, 1, 1}, 0}, rows.address,
           u64{rows.stride}, static_cast<u32>(rows.rows), static_cast<u32>(rows.cols), to);
}

}  // namespace nearfield::cuda
