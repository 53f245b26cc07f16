#include "cuda/search/group_pass.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/search/exact_pass.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr std::size_t kMaximaBytes = std::size_t{256} << 20;
constexpr std::size_t kMostTile = 4096;
constexpr unsigned kThreads = kScanThreads;
constexpr std::size_t kBlocks = 1024;  // a few for each multiprocessor of any device
constexpr std::size_t kGroupsOfSlice = 512;
constexpr std::size_t kMostSlices = 64;
constexpr std::size_t kFewQueries = 64;
constexpr unsigned kThreadsOfFew = 512;

/// Groups that a query's list takes: k hold the winners, the margin lets some more in; most where queries
/// are rounded to bytes.
std::size_t capacity_for(const SearchRequest& r) noexcept {
    return are_bytes(r.rows.dtype) ? 4 * r.k + 128 : 2 * r.k + 64;
}

/// Blocks that share the groups of a query when the best are selected, for few queries alone would leave a device
/// idle. A slice should leave out far more than it selects.
std::size_t slices_for(std::size_t groups, std::size_t wanted, std::size_t queries) noexcept {
    const std::size_t worth = groups / std::max(kGroupsOfSlice, 8 * wanted);
    return std::clamp<std::size_t>(kBlocks / queries, 1,
                                   std::clamp<std::size_t>(worth, 1, kMostSlices));
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

GroupPass::GroupPass(const SearchRequest& request, Scratch& scratch, const FoldedQueries* folded)
    : r_(request), folded_(folded), constants_(request.rows) {
    const std::size_t k = r_.k;
    groups_ = groups_of(r_.rows.rows);
    // Below all groups: where all are taken, as with rows that are not finite, the list is cut for sure.
    capacity_ = capacity_for(r_);
    wanted_ = k + (r_.exclude_self ? 1 : 0);
    const std::size_t fitting = std::max(kMaximaBytes / (4 * groups_), std::size_t{128});
    tile_ = std::min({fitting / 128 * 128, r_.queries.rows, kMostTile});
    const bool has_constants = r_.constants != 0 && folded_ == nullptr;
    own_constants_ = scratch.take(has_constants ? 0 : constants_.bytes());
    masked_bias_ = scratch.take(r_.mask != 0 ? r_.rows.rows * sizeof(float) : 0);
    queries_.emplace(r_, tile_, scratch, folded_);
    maxima_ = scratch.take(tile_ * groups_ * sizeof(float));
    best_ = scratch.take(tile_ * wanted_ * sizeof(float));
    best_ids_ = scratch.take(tile_ * wanted_ * sizeof(u32));
    slices_ = slices_for(groups_, wanted_, tile_);
    best_keys_ = scratch.take(tile_ * slices_ * wanted_ * sizeof(u64));
    if (slices_ > 1) {
        parts_ = scratch.take(tile_ * slices_ * wanted_ * sizeof(float));
        part_ids_ = scratch.take(tile_ * slices_ * wanted_ * sizeof(u32));
    }
    lists_ = scratch.take(tile_ * capacity_ * sizeof(u32));
    counts_ = scratch.take(tile_ * sizeof(u32));
    keys_ = scratch.take(tile_ * capacity_ * kGroupRows * sizeof(double));
    rows_ = scratch.take(tile_ * capacity_ * kGroupRows * sizeof(u32));
    pairs_ = scratch.take(tile_ * sizeof(u32));
    select_keys_ = scratch.take(k > kMostSharedKeys ? tile_ * k * kKeyBytes : 0);
    found_ = scratch.take(tile_ * k * sizeof(double));
    found_rows_ = scratch.take(tile_ * k * sizeof(u32));
    lengths_ = scratch.take(tile_ * sizeof(u32));
}

void GroupPass::prepare_rows(const StreamRef& stream, CUdeviceptr at) const {
    const CUdeviceptr constants = constants_at(at);
    // The rows may have come to where they are after constants_ was made.
    if (r_.constants == 0) RowConstants(r_.rows).compute(stream, r_.metric, constants);
    if (folded_ != nullptr) return prepare_mapped_rows(stream, at);
    if (r_.mask == 0) return;
    launch(stream, {"answering.cu", "mask_bias"},
           {{blocks_of(r_.rows.rows, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, r_.mask,
           constants_.bias(constants, r_.metric), static_cast<u32>(r_.rows.rows), bias_at(at));
}

/// Their bias has the mask in it.
void GroupPass::prepare_mapped_rows(const StreamRef& stream, CUdeviceptr at) const {
    const CUdeviceptr constants = constants_at(at);
    clear(stream, constants_.limits(constants), 2 * sizeof(float));
    launch(stream, {"row_constants.cu", "mapped_constants"},
           {{blocks_of(r_.rows.rows, kThreads), 1, 1}, {kThreads, 1, 1}, 0},
           constants_.norms(stored_constants(at)), folded_->lengths(), r_.mask,
           static_cast<u32>(r_.rows.rows), kernel_metric(r_.metric),
           constants_.scale(constants, r_.metric), bias_at(at), constants_.limits(constants));
}

/// The best `wanted_` of each query's maxima; by slices first, where there are several.
void GroupPass::select_maxima(const StreamRef& stream, unsigned queries, CUdeviceptr at) const {
    const auto select = [&](const Pairs& of, std::size_t length, std::size_t slices,
                            const Pairs& best) {
        launch(stream, {"select_k.cu", "select_k_radix_f32"},
               {{queries, static_cast<unsigned>(slices), 1}, {256, 1, 1}, 0}, of.keys, of.rows,
               u64{length}, CUdeviceptr{0}, static_cast<u32>(length), u32{0},
               static_cast<u32>(wanted_), at + best_keys_, best.keys, best.rows);
    };
    const Pairs best{at + best_, at + best_ids_};
    if (slices_ == 1) return select({at + maxima_, 0}, groups_, 1, best);
    const Pairs parts{at + parts_, at + part_ids_};
    select({at + maxima_, 0}, groups_, slices_, parts);
    select(parts, slices_ * wanted_, 1, best);
}

void GroupPass::select_groups(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const auto count = static_cast<unsigned>(q.count);
    select_maxima(stream, count, at);
    clear(stream, at + counts_, q.count * sizeof(u32));
    const unsigned slices = std::min(blocks_of(groups_, 4096), 64U);
    launch(stream, {"rescore.cu", "collect_groups"}, {{count, slices, 1}, {kThreads, 1, 1}, 0},
           at + maxima_, u64{groups_}, static_cast<u32>(groups_), at + best_,
           static_cast<u32>(wanted_), queries_->margin(at), static_cast<u32>(capacity_),
           at + lists_, at + counts_);
}

/// Exact keys of the rows of a tile's groups.
void GroupPass::score_groups(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    // Each warp of a block reads eight rows of a group, one after the other: few queries are shared widely.
    const std::size_t wide = std::min(capacity_, kBlocks / q.count);
    const auto slices =
        static_cast<unsigned>(std::max<std::size_t>(wide, std::min(blocks_of(capacity_, 16), 16U)));
    if (folded_ != nullptr) {
        const GroupKeys groups{at + lists_, at + counts_, capacity_,
                               at + keys_,  at + rows_,   at + pairs_};
        return folded_->rescore(stream, q, slices, groups, at);
    }
    const std::string name = std::string("rescore_") + suffix(r_.rows.dtype);
    launch(stream, {"rescore.cu", name.c_str()},
           {{static_cast<unsigned>(q.count), slices, 1}, {kThreads, 1, 1}, 0}, q.queries,
           u64{r_.rows.cols}, r_.rows.address, u64{r_.rows.stride}, static_cast<u32>(r_.rows.rows),
           static_cast<u32>(r_.rows.cols), kernel_metric(r_.metric),
           constants_.norms(constants_at(at)), r_.mask, static_cast<u32>(q.first),
           static_cast<u32>(r_.exclude_self), at + lists_, at + counts_,
           static_cast<u32>(capacity_), at + keys_, at + rows_, at + pairs_);
}

void GroupPass::rescore(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    score_groups(stream, q, at);
    const auto count = static_cast<unsigned>(q.count);
    const bool shared = r_.k <= kMostSharedKeys;
    const std::size_t length = capacity_ * kGroupRows;
    launch(stream, {"select_k.cu", "select_k_radix_f64"},
           {{count, 1, 1},
            {q.count <= kFewQueries ? kThreadsOfFew : kThreads, 1, 1},
            shared ? r_.k * kKeyBytes : 0},
           at + keys_, at + rows_, u64{length}, at + pairs_, static_cast<u32>(length), u32{0},
           static_cast<u32>(r_.k), shared ? CUdeviceptr{0} : at + select_keys_, at + found_,
           at + found_rows_);
}

ScanPass::Found GroupPass::run(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const CUdeviceptr constants = constants_at(at);
    queries_->prepare(stream, q, constants_.limits(constants), at);
    scan_groups(stream, *queries_, q.count,
                {r_.rows, constants_.scale(constants, r_.metric), bias_at(at)}, at + maxima_, at);
    select_groups(stream, q, at);
    rescore(stream, q, at);
    launch(stream, {"exact.cu", "find_cut_lists"},
           {{blocks_of(q.count, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, at + counts_,
           static_cast<u32>(capacity_), static_cast<u32>(q.count), static_cast<u32>(r_.rows.rows),
           at + lengths_);
    return {{at + found_, at + found_rows_}, at + lengths_};
}

}  // namespace nearfield::cuda
