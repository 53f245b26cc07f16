#include "cuda/search/list_pass.h"

#include <algorithm>
#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/search/coarse_step.h"
#include "cuda/search/exact_lists.h"
#include "cuda/search/exact_pass.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr std::size_t kTileBytes = std::size_t{512} << 20;  // of scratch memory, where it is enough
constexpr std::size_t kMostTile = 1 << 14;
constexpr std::size_t kLeastTile = 32;
constexpr unsigned kThreads = 128;
constexpr std::size_t kPreparedAlign = 16;  // bytes
constexpr std::size_t kBlocksOfMultiprocessor = 2;

/// Groups that a query's list takes: k hold the winners, the margin lets some more in.
std::size_t capacity_for(std::size_t k) noexcept { return 2 * k + 64; }

}  // namespace

/// What blocks of the scan take: pairs by list, and how many items the lists before each have.
struct ListPass::Items {
    PairSort::Sorted pairs;
    unsigned blocks;
};

std::size_t ListPass::bytes_of_query() const noexcept {
    constexpr std::size_t kRow = sizeof(double) + sizeof(u32);
    const std::size_t of_probes = r_.nprobe * 6 * sizeof(u32) + CoarseStep::bytes_of_query(r_);
    const std::size_t of_groups = stride_ * sizeof(float) + capacity_ * (4 + kGroupRows * kRow);
    return of_probes + of_groups + prepared_stride_ + found_count_ * (kKeyBytes + kRow) + r_.k * 16;
}

ListPass::ListPass(const ListRequest& request, Scratch& scratch)
    : r_(request),
      form_(scan_form(r_.listed.rows.dtype)),
      constants_(r_.listed.rows, form_.stored),
      stride_(std::max<std::size_t>(r_.listed.most_groups(r_.nprobe), 1)),
      capacity_(std::min(stride_, capacity_for(r_.k))),
      found_count_(std::min(r_.k, r_.listed.rows.rows)),
      prepared_stride_(round_up(r_.listed.rows.cols * form_.query_size, kPreparedAlign)),
      tile_(std::min(std::clamp(kTileBytes / bytes_of_query() / kLeastTile * kLeastTile, kLeastTile,
                                kMostTile),
                     r_.queries.rows)),
      sort_(tile_ * r_.nprobe, r_.listed.sizes.lists() + 1, scratch) {
    const std::size_t k = found_count_;
    prepared_ = scratch.take(tile_ * prepared_stride_);
    unit_ = scratch.take(tile_ * sizeof(float));
    margin_ = scratch.take(tile_ * sizeof(float));
    query_norms_ = scratch.take(tile_ * sizeof(double));
    init_ = scratch.take(tile_ * sizeof(std::int32_t));
    places_ = scratch.take(tile_ * (r_.nprobe + 1) * sizeof(u32));
    groups_ = scratch.take(tile_ * sizeof(u32));
    items_ = scratch.take((r_.listed.sizes.lists() + 2) * sizeof(u32));
    maxima_ = scratch.take(tile_ * stride_ * sizeof(float));
    best_ = scratch.take(tile_ * k * sizeof(float));
    best_ids_ = scratch.take(tile_ * k * sizeof(u32));
    best_keys_ = scratch.take(tile_ * k * sizeof(u64));
    lists_ = scratch.take(tile_ * capacity_ * sizeof(u32));
    counts_ = scratch.take(tile_ * sizeof(u32));
    keys_ = scratch.take(tile_ * capacity_ * kGroupRows * sizeof(double));
    rows_ = scratch.take(tile_ * capacity_ * kGroupRows * sizeof(u32));
    pairs_ = scratch.take(tile_ * sizeof(u32));
    select_keys_ = scratch.take(k > kMostSharedKeys ? tile_ * k * kKeyBytes : 0);
    found_ = scratch.take(tile_ * k * sizeof(double));
    found_rows_ = scratch.take(tile_ * k * sizeof(u32));
}

void ListPass::prepare_queries(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const std::string name = std::string("prepare_queries_") + form_.query;
    const Kernel kernel{"prepare_queries.cu", name.c_str()};
    const Grid grid{{blocks_of(q.count, kThreads / 32), 1, 1}, {kThreads, 1, 1}, 0};
    const std::size_t dim = r_.listed.rows.cols;
    const auto start = [&](const auto&... more) {
        launch(stream, kernel, grid, q.queries, u64{dim}, static_cast<u32>(q.count),
               static_cast<u32>(dim), kernel_metric(r_.row_metric()),
               constants_.limits(r_.listed.constants), at + prepared_,
               u64{prepared_stride_ / form_.query_size}, at + unit_, at + margin_,
               at + query_norms_, more...);
    };
    if (form_.is_bytes) return start(form_.zero_point, at + init_);
    start();
}

ListPass::Items ListPass::place(const StreamRef& stream, const QueryTile& q, CUdeviceptr probes,
                                CUdeviceptr at) const {
    const std::size_t lists = r_.listed.sizes.lists() + 1, pairs = q.count * r_.nprobe;
    launch(stream, {"probes.cu", "place_probes"},
           {{blocks_of(q.count, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, probes,
           static_cast<u32>(q.count), static_cast<u32>(r_.nprobe), r_.listed.offsets, at + places_,
           at + groups_);
    const PairSort::Sorted sorted = sort_.run(stream, probes, pairs, at);
    launch(stream, {"probes.cu", "count_items"},
           {{blocks_of(lists + 1, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, r_.listed.offsets,
           sorted.offsets, static_cast<u32>(lists), static_cast<u32>(form_.tile_queries),
           static_cast<u32>(form_.tile_rows), at + items_);
    launch(stream, {"sort_pairs.cu", "place_of_counts"}, {{1, 1, 1}, {256, 1, 1}, 0}, at + items_,
           static_cast<u32>(lists + 1));
    const std::size_t most = pairs * blocks_of(r_.listed.sizes.longest(), form_.tile_rows);
    const auto there = static_cast<std::size_t>(std::max(stream.device->multiprocessors(), 1));
    const std::size_t blocks = std::clamp<std::size_t>(most, 1, there * kBlocksOfMultiprocessor);
    return {sorted, static_cast<unsigned>(blocks)};
}

void ListPass::scan(const StreamRef& stream, const QueryTile& q, const Items& items,
                    CUdeviceptr bias, CUdeviceptr at) const {
    const DeviceRows& rows = r_.listed.rows;
    const std::size_t size = size_of(rows.dtype);
    const CUdeviceptr scale = constants_.scale(r_.listed.constants, r_.row_metric());
    launch(stream, {form_.source, form_.scan},
           {{items.blocks, 1, 1}, {256, 1, 1}, form_.shared_bytes()}, at + prepared_,
           u64{prepared_stride_}, static_cast<u32>(q.count), rows.address, u64{rows.stride * size},
           static_cast<u32>(rows.rows), static_cast<u32>(rows.cols * size), scale, bias, at + unit_,
           form_.is_bytes ? at + init_ : CUdeviceptr{0}, r_.listed.offsets, at + items_,
           items.pairs.positions, items.pairs.offsets, at + places_,
           static_cast<u32>(r_.listed.sizes.lists() + 1), static_cast<u32>(r_.nprobe), at + maxima_,
           u64{stride_});
}

void ListPass::select_groups(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const auto count = static_cast<unsigned>(q.count);
    const auto k = static_cast<u32>(found_count_);
    launch(stream, {"select_k.cu", "select_k_radix_f32"}, {{count, 1, 1}, {256, 1, 1}, 0},
           at + maxima_, CUdeviceptr{0}, u64{stride_}, at + groups_, static_cast<u32>(stride_),
           u32{0}, k, at + best_keys_, at + best_, at + best_ids_);
    clear(stream, at + counts_, q.count * sizeof(u32));
    const unsigned slices = std::min(blocks_of(stride_, 4096), 64U);
    launch(stream, {"rescore.cu", "collect_list_groups"}, {{count, slices, 1}, {kThreads, 1, 1}, 0},
           at + maxima_, u64{stride_}, at + groups_, at + best_, k, at + margin_,
           static_cast<u32>(capacity_), at + lists_, at + counts_);
}

void ListPass::rescore(const StreamRef& stream, const QueryTile& q, CUdeviceptr probes,
                       CUdeviceptr names, CUdeviceptr at) const {
    const ListedGroups groups{probes,       r_.nprobe, at + places_, at + lists_,
                              at + counts_, capacity_, names};
    const ScoredRows scored{at + keys_, at + rows_, at + pairs_, capacity_ * kGroupRows};
    score_groups(stream, r_, q, groups, scored);
    const CUdeviceptr keys = found_count_ > kMostSharedKeys ? at + select_keys_ : 0;
    select_scored(stream, q, scored, found_count_, keys, {at + found_, at + found_rows_});
}

ListPass::Found ListPass::run(const StreamRef& stream, const QueryTile& q, CUdeviceptr probes,
                              const Answering& rows, CUdeviceptr at) const {
    prepare_queries(stream, q, at);
    scan(stream, q, place(stream, q, probes, at), rows.bias, at);
    select_groups(stream, q, at);
    rescore(stream, q, probes, rows.names, at);
    return {{at + found_, at + found_rows_}, at + counts_};
}

}  // namespace nearfield::cuda
