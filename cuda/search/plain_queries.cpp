#include "cuda/search/plain_queries.h"

#include <algorithm>
#include <string>

#include "cuda/runtime/launch.h"

namespace nearfield::cuda {

void widen(const StreamRef& stream, const DeviceRows& from, CUdeviceptr to) {
    if (from.rows == 0) return;
    constexpr std::size_t kMostBlocks = 1 << 16;
    const std::string name = std::string("widen_") + suffix(from.dtype);
    const auto blocks = static_cast<unsigned>(std::min(from.rows, kMostBlocks));
    launch(stream, {"exact.cu", name.c_str()}, {{blocks, 1, 1}, {128, 1, 1}, 0}, from.address,
           std::uint64_t{from.stride}, static_cast<std::uint32_t>(from.rows),
           static_cast<std::uint32_t>(from.cols), to);
}

PlainQueries::PlainQueries(const DeviceRows& queries, Scratch& scratch)
    : queries_(queries), widens_(queries.dtype != DType::kF32 || queries.stride != queries.cols) {
    if (widens_) widened_ = scratch.take(queries.rows * queries.cols * sizeof(float));
}

CUdeviceptr PlainQueries::make(const StreamRef& stream, CUdeviceptr at) const {
    if (!widens_) return queries_.address;
    widen(stream, queries_, at + widened_);
    return at + widened_;
}

}  // namespace nearfield::cuda
