#include "cuda/search/byte_pass.h"

#include <algorithm>
#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "byte_bounds.cu";
constexpr std::int32_t kExcess = 128;  // of codes

/// Groups that a query's list takes: k hold the winners, bounds let some more in.
std::size_t capacity_for(const SearchRequest& r) noexcept { return 4 * r.k + 128; }

}  // namespace

bool BytePass::suits(const SearchRequest& r) noexcept {
    return r.scan == Scan::kBytes && r.bytes != 0 && r.constants != 0 && r.queries.rows != 0 &&
           !r.fold && !are_bytes(r.rows.dtype) && groups_of(r.rows.rows) > capacity_for(r);
}

BytePass::BytePass(const SearchRequest& request, Scratch& scratch, const QueryMaking& making)
    : r_(request),
      mapped_(making.mapped),
      wanted_(request.k + (request.exclude_self ? 1 : 0)),
      tile_(queries_of_maxima(request)),
      constants_(request.rows),
      bytes_(request.rows),
      coded_(request) {
    coded_.rows = bytes_.codes(r_.bytes);
    masked_bias_ = scratch.take(r_.mask != 0 ? r_.rows.rows * sizeof(float) : 0);
    queries_.emplace(coded_, tile_, scratch, QueryMaking{}, kExcess);
    reach_ = scratch.take(tile_ * sizeof(float));
    lost_ = scratch.take(tile_ * sizeof(float));
    floors_ = scratch.take(tile_ * sizeof(float));
    no_margin_ = scratch.take(tile_ * sizeof(float));
    lists_.emplace(r_, tile_, wanted_, capacity_for(r_), scratch);
}

void BytePass::prepare_rows(const StreamRef& stream, CUdeviceptr at) const {
    clear(stream, at + no_margin_, tile_ * sizeof(float));
    if (r_.mask != 0) mask_bias(stream, r_, bytes_.bias(r_.bytes, r_.metric), bias_at(at));
}

/// Apart from their preparation, which takes them by tiles.
void BytePass::map_queries(const StreamRef& stream, CUdeviceptr at) const {
    mapped_->make(stream, at);
}

void BytePass::prepare_queries(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    queries_->prepare(stream, q, bytes_.limits(r_.bytes), at);
    launch(stream, {kSource, "query_bounds"},
           {{blocks_of(q.count, kScanThreads / 32), 1, 1}, {kScanThreads, 1, 1}, 0}, q.queries,
           u64{r_.rows.cols}, static_cast<u32>(q.count), static_cast<u32>(r_.rows.cols),
           kernel_metric(r_.metric), queries_->prepared(q, at), u64{queries_->stride()},
           queries_->unit(q, at), at + reach_, at + lost_);
}

void BytePass::scan(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const DeviceRows& codes = coded_.rows;
    const MaximaShape shape = maxima_shape(codes.dtype, q.count);
    const std::string name = std::string("bound_maxima_u8") + shape.name;
    launch(stream, {"bound_maxima_u8.cu", name.c_str()}, shape.grid(q.count, codes.rows),
           queries_->prepared(q, at), u64{queries_->stride()}, static_cast<u32>(q.count),
           codes.address, u64{codes.stride}, static_cast<u32>(codes.rows),
           static_cast<u32>(codes.cols), bytes_.scale(r_.bytes), bias_at(at), bytes_.size(r_.bytes),
           bytes_.off(r_.bytes), queries_->unit(q, at), at + reach_, at + lost_,
           queries_->init(q, at), lists_->maxima(at), u64{groups_of(codes.rows)});
}

void BytePass::find_floors(const StreamRef& stream, const QueryTile& q, const Pairs& found,
                           CUdeviceptr at) const {
    launch(stream, {kSource, "floors_of_keys"},
           {{blocks_of(q.count, kScanThreads), 1, 1}, {kScanThreads, 1, 1}, 0}, found.keys,
           static_cast<u32>(r_.k), kernel_metric(r_.metric), queries_->unit(q, at),
           queries_->norms(q, at), static_cast<u32>(q.count), at + floors_);
}

ScanPass::Found BytePass::run(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const CUdeviceptr norms = constants_.norms(r_.constants);
    prepare_queries(stream, q, at);
    scan(stream, q, at);
    lists_->select(stream, q.count, at);
    lists_->collect(stream, q.count, lists_->best(at), wanted_, at + no_margin_, at);
    find_floors(stream, q, lists_->rescore(stream, q, norms, at), at);
    lists_->collect(stream, q.count, at + floors_, 1, at + no_margin_, at);
    const Pairs found = lists_->rescore(stream, q, norms, at);
    return {found, lists_->cut(stream, q.count, at)};
}

}  // namespace nearfield::cuda
