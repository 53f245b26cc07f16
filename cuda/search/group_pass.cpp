#include "cuda/search/group_pass.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr unsigned kThreads = kScanThreads;

/// Groups that a query's list takes: k hold the winners, the margin lets some more in; most where queries
/// are rounded to bytes.
std::size_t capacity_for(const SearchRequest& r) noexcept {
    return are_bytes(r.rows.dtype) ? 4 * r.k + 128 : 2 * r.k + 64;
}

}  // namespace

RowConstants::RowConstants(const DeviceRows& rows) : RowConstants(rows, suffix(rows.dtype)) {}

RowConstants::RowConstants(const DeviceRows& rows, std::string type)
    : rows_(rows), type_(std::move(type)) {
    norms_ = scratch_.take(rows.rows * sizeof(double));
    scale_ = scratch_.take(rows.rows * sizeof(float));
    bias_ = scratch_.take(rows.rows * sizeof(float));
    limits_ = scratch_.take(2 * sizeof(float));
}

void RowConstants::compute(const StreamRef& stream, Metric metric, CUdeviceptr at) const {
    const std::string name = "row_constants_" + type_;
    clear(stream, limits(at), 2 * sizeof(float));
    launch(stream, {"row_constants.cu", name.c_str()},
           {{blocks_of(rows_.rows, kThreads / 32), 1, 1}, {kThreads, 1, 1}, 0}, rows_.address,
           u64{rows_.stride}, static_cast<u32>(rows_.rows), static_cast<u32>(rows_.cols),
           kernel_metric(metric), norms(at), scale(at, metric), bias(at, metric), limits(at));
}

bool GroupPass::suits(const SearchRequest& r) noexcept {
    return r.queries.rows != 0 && groups_of(r.rows.rows) > std::max(capacity_for(r), 4 * r.k);
}

GroupPass::GroupPass(const SearchRequest& request, Scratch& scratch, const QueryMaking& making)
    : r_(request), making_(making), tile_(queries_of_maxima(request)), constants_(request.rows) {
    wanted_ = r_.k + (r_.exclude_self ? 1 : 0);
    const bool has_constants = r_.constants != 0 && making_.folded == nullptr;
    own_constants_ = scratch.take(has_constants ? 0 : constants_.bytes());
    masked_bias_ = scratch.take(r_.mask != 0 ? r_.rows.rows * sizeof(float) : 0);
    queries_.emplace(r_, tile_, scratch, making_);
    // Below all groups: where all are taken, as with rows that are not finite, the list is cut for sure.
    lists_.emplace(r_, tile_, wanted_, capacity_for(r_), scratch, making_.folded);
}

void GroupPass::prepare_rows(const StreamRef& stream, CUdeviceptr at) const {
    const CUdeviceptr constants = constants_at(at);
    // The rows may have come to where they are after constants_ was made.
    if (r_.constants == 0) RowConstants(r_.rows).compute(stream, r_.metric, constants);
    if (making_.folded != nullptr) return prepare_mapped_rows(stream, at);
    if (r_.mask == 0) return;
    mask_bias(stream, r_, constants_.bias(constants, r_.metric), bias_at(at));
}

/// Their bias has the mask in it.
void GroupPass::prepare_mapped_rows(const StreamRef& stream, CUdeviceptr at) const {
    const CUdeviceptr constants = constants_at(at);
    clear(stream, constants_.limits(constants), 2 * sizeof(float));
    launch(stream, {"row_constants.cu", "mapped_constants"},
           {{blocks_of(r_.rows.rows, kThreads), 1, 1}, {kThreads, 1, 1}, 0},
           constants_.norms(stored_constants(at)), making_.folded->lengths(), r_.mask,
           static_cast<u32>(r_.rows.rows), kernel_metric(r_.metric),
           constants_.scale(constants, r_.metric), bias_at(at), constants_.limits(constants));
}

ScanPass::Found GroupPass::run(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const CUdeviceptr constants = constants_at(at);
    queries_->prepare(stream, q, constants_.limits(constants), at);
    scan_groups(stream, *queries_, q,
                {r_.rows, constants_.scale(constants, r_.metric), bias_at(at)}, lists_->maxima(at),
                at);
    lists_->select(stream, q.count, at);
    lists_->collect(stream, q.count, lists_->best(at), wanted_, queries_->margin(q, at), at);
    const Pairs found = lists_->rescore(stream, q, constants_.norms(constants), at);
    return {found, lists_->cut(stream, q.count, at)};
}

}  // namespace nearfield::cuda
