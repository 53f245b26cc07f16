#include "cuda/search/byte_rows.h"

#include <stdexcept>
#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/search/group_pass.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

}  // namespace

ByteRows::ByteRows(const DeviceRows& rows)
    : rows_(rows), stride_(round_up(rows.cols, std::size_t{16})) {
    codes_ = scratch_.take(rows.rows * stride_);
    scale_ = scratch_.take(rows.rows * sizeof(float));
    bias_ = scratch_.take(rows.rows * sizeof(float));
    size_ = scratch_.take(rows.rows * sizeof(float));
    off_ = scratch_.take(rows.rows * sizeof(float));
    limits_ = scratch_.take(2 * sizeof(float));
}

void ByteRows::compute(const StreamRef& stream, Metric metric, CUdeviceptr norms,
                       CUdeviceptr at) const {
    const std::string type = suffix(rows_.dtype);
    const std::string encode = "encode_rows_" + type, bound = "row_bounds_" + type;
    const Grid grid{{blocks_of(rows_.rows, kScanThreads / 32), 1, 1}, {kScanThreads, 1, 1}, 0};
    const auto count = static_cast<u32>(rows_.rows), dim = static_cast<u32>(rows_.cols);
    clear(stream, limits(at), 2 * sizeof(float));
    launch(stream, {"row_constants.cu", encode.c_str()}, grid, rows_.address, u64{rows_.stride},
           count, dim, kernel_metric(metric), at + codes_, u64{stride_}, norms, scale(at),
           bias(at, metric), limits(at));
    launch(stream, {"byte_bounds.cu", bound.c_str()}, grid, rows_.address, u64{rows_.stride}, count,
           dim, kernel_metric(metric), at + codes_, u64{stride_}, norms, scale(at),
           bias(at, metric), size(at), off(at));
}

std::size_t byte_rows_bytes(const DeviceRows& rows) {
    if (are_bytes(rows.dtype)) {
        throw std::invalid_argument("rows: got bytes, expected float rows to have bytes beside");
    }
    return ByteRows(rows).bytes();
}

void compute_byte_rows(const StreamRef& stream, const DeviceRows& rows, Metric metric,
                       CUdeviceptr constants, CUdeviceptr at) {
    if (rows.rows == 0) return;
    ByteRows(rows).compute(stream, metric, RowConstants(rows).norms(constants), at);
}

}  // namespace nearfield::cuda
