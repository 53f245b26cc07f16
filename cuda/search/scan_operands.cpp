#include "cuda/search/scan_operands.h"

#include <string>

#include "cuda/runtime/device.h"
#include "cuda/runtime/launch.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr std::size_t kPreparedAlign = 16;  // elements

}  // namespace

MaximaShape maxima_shape(DType dtype, std::size_t queries) noexcept {
    if (dtype == DType::kF32) {
        return queries > 16 ? MaximaShape{64, 128, "_q64"} : MaximaShape{16, 128, "_q16"};
    }
    if (queries > 32) return {128, 128, "_q128"};
    return queries > 16 ? MaximaShape{32, 256, "_q32"} : MaximaShape{16, 256, "_q16"};
}

Grid MaximaShape::grid(std::size_t queries_scanned, std::size_t rows_scanned) const noexcept {
    const unsigned blocks = blocks_of(queries_scanned, queries) * blocks_of(rows_scanned, rows);
    return {{blocks, 1, 1}, {256, 1, 1}, 240 * (queries + rows)};
}

ScanQueries::ScanQueries(const SearchRequest& request, std::size_t most_queries, Scratch& scratch,
                         const QueryMaking& making, std::int32_t zero_point)
    : r_(request),
      making_(making),
      zero_point_(zero_point),
      stride_(round_up(request.rows.cols, kPreparedAlign)) {
    if (making_.is_fused()) most_queries = r_.queries.rows;
    prepared_ = scratch.take(most_queries * stride_ * size_of(r_.rows.dtype));
    unit_ = scratch.take(most_queries * sizeof(float));
    margin_ = scratch.take(most_queries * sizeof(float));
    norms_ = scratch.take(most_queries * sizeof(double));
    init_ = scratch.take(are_bytes(r_.rows.dtype) ? most_queries * sizeof(std::int32_t) : 0);
}

void ScanQueries::prepare(const StreamRef& stream, const QueryTile& q, CUdeviceptr limits,
                          CUdeviceptr at) const {
    if (making_.is_fused()) return;  // by map()
    const bool bytes = are_bytes(r_.rows.dtype);
    const std::string name =
        std::string("prepare_queries_") + (bytes ? "i8" : suffix(r_.rows.dtype));
    const Kernel kernel{"prepare_queries.cu", name.c_str()};
    const Grid grid{{blocks_of(q.count, kScanThreads / 32), 1, 1}, {kScanThreads, 1, 1}, 0};
    const std::size_t dim = r_.rows.cols;
    const CUdeviceptr from =
        making_.folded != nullptr ? making_.folded->high(q.first, at) : q.queries;
    const auto enqueue = [&](const auto&... more) {
        launch(stream, kernel, grid, from, u64{making_.folded != nullptr ? 2 * dim : dim},
               static_cast<u32>(q.count), static_cast<u32>(r_.rows.cols), kernel_metric(r_.metric),
               limits, at + prepared_, u64{stride_}, at + unit_, at + margin_, at + norms_,
               more...);
    };
    if (bytes) {
        enqueue(zero_point_, at + init_);
    } else {
        enqueue();
    }
}

void ScanQueries::map(const StreamRef& stream, CUdeviceptr limits, CUdeviceptr at) const {
    const DType dtype = are_bytes(r_.rows.dtype) ? DType::kI8 : r_.rows.dtype;
    making_.mapped->make(stream,
                         {dtype, r_.metric, limits, at + prepared_, stride_, at + unit_,
                          at + margin_, at + norms_, at + init_},
                         at);
}

void mask_bias(const StreamRef& stream, const SearchRequest& r, CUdeviceptr bias, CUdeviceptr out) {
    launch(stream, {"answering.cu", "mask_bias"},
           {{blocks_of(r.rows.rows, kScanThreads), 1, 1}, {kScanThreads, 1, 1}, 0}, r.mask, bias,
           static_cast<u32>(r.rows.rows), out);
}

void scan_groups(const StreamRef& stream, const ScanQueries& queries, const QueryTile& q,
                 const ScanRows& scanned, CUdeviceptr maxima, CUdeviceptr at) {
    const DeviceRows& rows = scanned.rows;
    const MaximaShape shape = maxima_shape(rows.dtype, q.count);
    const std::string type = suffix(rows.dtype);
    const std::string source = "group_maxima_" + type + ".cu";
    const std::string name = "group_maxima_" + type + shape.name;
    const std::size_t size = size_of(rows.dtype);
    launch(stream, {source.c_str(), name.c_str()}, shape.grid(q.count, rows.rows),
           queries.prepared(q, at), u64{queries.stride() * size}, static_cast<u32>(q.count),
           rows.address, u64{rows.stride * size}, static_cast<u32>(rows.rows),
           static_cast<u32>(rows.cols * size), scanned.scale, scanned.bias, queries.unit(q, at),
           CUdeviceptr{0}, maxima, u64{groups_of(rows.rows)});
}

}  // namespace nearfield::cuda
