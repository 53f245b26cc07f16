#include "cuda/search/open_pass.h"

#include <algorithm>

#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/search/exact_lists.h"
#include "cuda/search/fallbacks.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "choose_lists.cu";
constexpr std::size_t kScoreBytes = std::size_t{256} << 20;  // of scores at a time
constexpr std::size_t kMostTile = 4096;
constexpr unsigned kThreads = 128;

Grid warps_for(std::size_t queries) {
    return {{blocks_of(queries, kThreads / 32), 1, 1}, {kThreads, 1, 1}, 0};
}

}  // namespace

OpenPass::OpenPass(const ListRequest& request, std::size_t most_queries, std::size_t capacity,
                   Scratch& scratch)
    : r_(request),
      capacity_(capacity),
      enough_(r_.may_widen() ? static_cast<u32>(r_.k) : 0),
      most_(r_.may_widen() ? r_.listed.sizes.lists() : r_.nprobe),
      stride_(std::max<std::size_t>(r_.listed.most_groups(most_), 1)),
      found_count_(std::min(r_.k, r_.listed.rows.rows)) {
    constexpr std::size_t kRow = sizeof(double) + sizeof(u32);
    const std::size_t wanted = kScoreBytes / (stride_ * kGroupRows * kRow + most_ * 20);
    tile_ = std::min(std::clamp<std::size_t>(wanted, 1, kMostTile), most_queries);
    open_ = scratch.take(most_queries * sizeof(u32));
    if (r_.may_widen()) {
        lists_.emplace(r_, r_.listed, tile_, scratch);
        tile_ = std::min(tile_, lists_->tile());
    }
    if (r_.may_widen() && r_.groups != 0) {
        groups_of_lists_.emplace(r_, *r_.listed.grouped, tile_, scratch);
        tile_ = std::min(tile_, groups_of_lists_->tile());
        ranks_ = scratch.take(tile_ * lists_->size() * sizeof(u32));
    }
    probes_ = scratch.take(tile_ * most_ * sizeof(u32));
    places_ = scratch.take(tile_ * (most_ + 1) * sizeof(u32));
    groups_ = scratch.take(tile_ * sizeof(u32));
    keys_ = scratch.take(tile_ * stride_ * kGroupRows * sizeof(double));
    rows_ = scratch.take(tile_ * stride_ * kGroupRows * sizeof(u32));
    pairs_ = scratch.take(tile_ * sizeof(u32));
    select_keys_ =
        scratch.take(found_count_ > kMostSharedKeys ? tile_ * found_count_ * kKeyBytes : 0);
    found_ = scratch.take(tile_ * found_count_ * sizeof(double));
    found_rows_ = scratch.take(tile_ * found_count_ * sizeof(u32));
}

void OpenPass::run(const StreamRef& stream, const QueryTile& q, CUdeviceptr probes,
                   CUdeviceptr counts, const Answering& rows, CUdeviceptr at,
                   const Take& take) const {
    find(stream, q, probes, counts, rows, at);
    count_fallbacks(stream, at + open_, q.count);
    for (std::size_t i = 0; i < q.count; i += tile_) {
        const QueryTile part{q.queries + i * r_.listed.rows.cols * sizeof(float), q.first + i,
                             std::min(tile_, q.count - i)};
        const CUdeviceptr open = at + open_ + i * sizeof(u32);
        rank(stream, part, open, at);
        search(stream, part, open, probes + i * r_.nprobe * sizeof(u32), rows, at, take);
    }
}

CUdeviceptr OpenPass::widened(const StreamRef& stream, const QueryTile& q, CUdeviceptr probes,
                              const Answering& rows, CUdeviceptr at) const {
    clear(stream, at + pairs_, q.count * sizeof(u32));  // no groups yet
    find(stream, q, probes, at + pairs_, rows, at);
    rank(stream, q, at + open_, at);
    widen(stream, q, at + open_, probes, rows, at);
    return at + probes_;
}

void OpenPass::run_part(const StreamRef& stream, const QueryTile& q, CUdeviceptr probes,
                        CUdeviceptr counts, const Answering& rows, CUdeviceptr at,
                        const Take& take) const {
    find(stream, q, probes, counts, rows, at);
    count_fallbacks(stream, at + open_, q.count);
    search(stream, q, at + open_, probes, rows, at, take);
}

void OpenPass::rank(const StreamRef& stream, const QueryTile& q, CUdeviceptr open,
                    CUdeviceptr at) const {
    if (lists_) lists_->run(stream, q, open, at);
    if (groups_of_lists_) groups_of_lists_->run(stream, q, open, at);
}

void OpenPass::find(const StreamRef& stream, const QueryTile& q, CUdeviceptr probes,
                    CUdeviceptr counts, const Answering& rows, CUdeviceptr at) const {
    launch(stream, {kSource, "find_open"}, warps_for(q.count), probes, static_cast<u32>(q.count),
           static_cast<u32>(r_.nprobe), r_.listed.all_offsets(), rows.allowed, enough_, counts,
           static_cast<u32>(capacity_), static_cast<u32>(r_.listed.sizes.lists()), at + open_);
}

void OpenPass::widen(const StreamRef& stream, const QueryTile& q, CUdeviceptr open,
                     CUdeviceptr probes, const Answering& rows, CUdeviceptr at) const {
    launch(stream, {kSource, "widen_probes"}, warps_for(q.count), open, probes,
           static_cast<u32>(q.count), static_cast<u32>(r_.nprobe),
           lists_ ? lists_->found(at) : CUdeviceptr{0}, static_cast<u32>(r_.listed.sizes.lists()),
           groups_of_lists_ ? groups_of_lists_->found(at) : CUdeviceptr{0},
           static_cast<u32>(groups_of_lists_ ? groups_of_lists_->size() : 0),
           groups_of_lists_ ? r_.listed.grouped->offsets : CUdeviceptr{0}, r_.listed.groups,
           at + ranks_, r_.listed.all_offsets(), rows.allowed, enough_, static_cast<u32>(most_),
           at + probes_);
}

void OpenPass::search(const StreamRef& stream, const QueryTile& q, CUdeviceptr open,
                      CUdeviceptr probes, const Answering& rows, CUdeviceptr at,
                      const Take& take) const {
    widen(stream, q, open, probes, rows, at);
    launch(stream, {"probes.cu", "place_probes"},
           {{blocks_of(q.count, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, at + probes_,
           static_cast<u32>(q.count), static_cast<u32>(most_), r_.listed.offsets, at + places_,
           at + groups_);
    const ScoredRows scored{at + keys_, at + rows_, at + pairs_, stride_ * kGroupRows};
    score_groups(stream, r_, q,
                 {at + probes_, most_, at + places_, 0, at + groups_, stride_, rows.names}, scored);
    const CUdeviceptr keys = found_count_ > kMostSharedKeys ? at + select_keys_ : 0;
    select_scored(stream, q, scored, found_count_, keys, {at + found_, at + found_rows_});
    take(q, {at + found_, at + found_rows_}, found_count_, open);
}

}  // namespace nearfield::cuda
