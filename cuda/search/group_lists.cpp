#include "cuda/search/group_lists.h"

#include <algorithm>
#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/search/exact_pass.h"
#include "cuda/search/scan_operands.h"

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

/// Blocks that share the groups of a query when the best are selected, for few queries alone would leave a device
/// idle. A slice should leave out far more than it selects.
std::size_t slices_for(std::size_t groups, std::size_t wanted, std::size_t queries) noexcept {
    const std::size_t worth = groups / std::max(kGroupsOfSlice, 8 * wanted);
    return std::clamp<std::size_t>(kBlocks / queries, 1,
                                   std::clamp<std::size_t>(worth, 1, kMostSlices));
}

}  // namespace

std::size_t queries_of_maxima(const SearchRequest& r) noexcept {
    const std::size_t fitting =
        std::max(kMaximaBytes / (4 * groups_of(r.rows.rows)), std::size_t{128});
    return std::min({fitting / 128 * 128, r.queries.rows, kMostTile});
}

GroupLists::GroupLists(const SearchRequest& request, std::size_t tile, std::size_t wanted,
                       std::size_t capacity, Scratch& scratch, const FoldedQueries* folded)
    : r_(request),
      folded_(folded),
      groups_(groups_of(request.rows.rows)),
      wanted_(wanted),
      capacity_(capacity),
      slices_(slices_for(groups_, wanted, std::max<std::size_t>(tile, 1))) {
    const std::size_t k = r_.k;
    maxima_ = scratch.take(tile * groups_ * sizeof(float));
    best_ = scratch.take(tile * wanted_ * sizeof(float));
    best_ids_ = scratch.take(tile * wanted_ * sizeof(u32));
    best_keys_ = scratch.take(tile * slices_ * wanted_ * sizeof(u64));
    if (slices_ > 1) {
        parts_ = scratch.take(tile * slices_ * wanted_ * sizeof(float));
        part_ids_ = scratch.take(tile * slices_ * wanted_ * sizeof(u32));
    }
    lists_ = scratch.take(tile * capacity_ * sizeof(u32));
    counts_ = scratch.take(tile * sizeof(u32));
    keys_ = scratch.take(tile * capacity_ * kGroupRows * sizeof(double));
    rows_ = scratch.take(tile * capacity_ * kGroupRows * sizeof(u32));
    pairs_ = scratch.take(tile * sizeof(u32));
    select_keys_ = scratch.take(k > kMostSharedKeys ? tile * k * kKeyBytes : 0);
    found_ = scratch.take(tile * k * sizeof(double));
    found_rows_ = scratch.take(tile * k * sizeof(u32));
    lengths_ = scratch.take(tile * sizeof(u32));
}

/// By slices first, where there are several.
void GroupLists::select(const StreamRef& stream, std::size_t queries, CUdeviceptr at) const {
    const auto select = [&](const Pairs& of, std::size_t length, std::size_t slices,
                            const Pairs& best) {
        launch(stream, {"select_k.cu", "select_k_radix_f32"},
               {{static_cast<unsigned>(queries), static_cast<unsigned>(slices), 1}, {256, 1, 1}, 0},
               of.keys, of.rows, u64{length}, CUdeviceptr{0}, static_cast<u32>(length), u32{0},
               static_cast<u32>(wanted_), at + best_keys_, best.keys, best.rows);
    };
    const Pairs best{at + best_, at + best_ids_};
    if (slices_ == 1) return select({at + maxima_, 0}, groups_, 1, best);
    const Pairs parts{at + parts_, at + part_ids_};
    select({at + maxima_, 0}, groups_, slices_, parts);
    select(parts, slices_ * wanted_, 1, best);
}

void GroupLists::collect(const StreamRef& stream, std::size_t queries, CUdeviceptr floors,
                         std::size_t each, CUdeviceptr margin, CUdeviceptr at) const {
    clear(stream, at + counts_, queries * sizeof(u32));
    const unsigned slices = std::min(blocks_of(groups_, 4096), 64U);
    launch(stream, {"rescore.cu", "collect_groups"},
           {{static_cast<unsigned>(queries), slices, 1}, {kThreads, 1, 1}, 0}, at + maxima_,
           u64{groups_}, static_cast<u32>(groups_), floors, static_cast<u32>(each), margin,
           static_cast<u32>(capacity_), at + lists_, at + counts_);
}

void GroupLists::score(const StreamRef& stream, const QueryTile& q, CUdeviceptr norms,
                       CUdeviceptr at) const {
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
           static_cast<u32>(r_.rows.cols), kernel_metric(r_.metric), norms, r_.mask,
           static_cast<u32>(q.first), static_cast<u32>(r_.exclude_self), at + lists_, at + counts_,
           static_cast<u32>(capacity_), at + keys_, at + rows_, at + pairs_);
}

Pairs GroupLists::rescore(const StreamRef& stream, const QueryTile& q, CUdeviceptr norms,
                          CUdeviceptr at) const {
    score(stream, q, norms, at);
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
    return {at + found_, at + found_rows_};
}

CUdeviceptr GroupLists::cut(const StreamRef& stream, std::size_t queries, CUdeviceptr at) const {
    launch(stream, {"exact.cu", "find_cut_lists"},
           {{blocks_of(queries, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, at + counts_,
           static_cast<u32>(capacity_), static_cast<u32>(queries), static_cast<u32>(r_.rows.rows),
           at + lengths_);
    return at + lengths_;
}

}  // namespace nearfield::cuda
