#include "cuda/train/points.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/search/plain_queries.h"
#include "cuda/train/row_blocks.h"
#include "cuda/train/transfer.h"
#include "quant/raw/exact.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "cluster_rows.cu";
constexpr unsigned kThreads = 128;
constexpr std::size_t kWarps = kThreads / 32;

}  // namespace

Points::Points(const StreamRef& stream, const DeviceRows& rows, std::span<const StreamRef> others)
    : stream_(stream), rows_(rows) {
    if (rows.dtype == DType::kI8 || rows.dtype == DType::kU8) {
        own_ = DeviceBuffer(stream, rows.rows * rows.cols * sizeof(float));
        widen(stream, rows, own_.address());
        rows_ = {own_.address(), rows.rows, rows.cols, rows.cols, DType::kF32};
    }
    const DeviceBuffer squared(stream, rows.rows * sizeof(double));
    const std::string name = std::string("squared_norms_") + suffix(rows_.dtype);
    launch(stream, {kSource, name.c_str()},
           {{blocks_for(rows.rows, kWarps), 1, 1}, {kThreads, 1, 1}, 0}, rows_.address,
           u64{rows_.stride}, static_cast<u32>(rows_.rows), static_cast<u32>(rows_.cols),
           squared.address());
    squared_ = downloaded<double>(stream, squared.address(), rows.rows);
    const auto bad = std::find_if(squared_.begin(), squared_.end(),
                                  [](double length) { return !std::isfinite(length); });
    if (bad != squared_.end()) {
        throw std::invalid_argument("row " + std::to_string(bad - squared_.begin()) +
                                    " holds NaN or infinity; expected finite values");
    }
    shares_ = RowShares(stream, rows_, others);
}

DeviceBuffer Points::gathered(std::span<const Id> ids) const {
    const DeviceBuffer numbers = uploaded(stream_, ids.data(), ids.size());
    DeviceBuffer out(stream_, ids.size() * rows_.cols * size_of(rows_.dtype));
    const std::string name = std::string("gather_rows_") + suffix(rows_.dtype);
    launch(stream_, {kSource, name.c_str()},
           {{blocks_for(ids.size(), kWarps), 1, 1}, {kThreads, 1, 1}, 0}, rows_.address,
           u64{rows_.stride}, numbers.address(), static_cast<u32>(ids.size()),
           static_cast<u32>(rows_.cols), out.address());
    return out;
}

Points Points::chosen(std::span<const Id> ids) const {
    Points out;
    out.stream_ = stream_;
    out.own_ = gathered(ids);
    out.rows_ = {out.own_.address(), ids.size(), rows_.cols, rows_.cols, rows_.dtype};
    out.squared_.reserve(ids.size());
    for (const Id id : ids) out.squared_.push_back(squared_[id]);
    return out;
}

RowSource Points::source() const {
    return {rows_.rows, rows_.cols, [this](std::span<const Id> ids) {
                if (ids.empty()) return std::vector<float>();
                const DeviceBuffer some = gathered(ids);
                const std::size_t bytes = some.bytes();
                const auto raw = downloaded<std::uint8_t>(stream_, some.address(), bytes);
                std::vector<float> out(ids.size() * rows_.cols);
                widen_plain(rows_.dtype, raw.data(), out.data(), out.size());
                return out;
            }};
}

}  // namespace nearfield::cuda
