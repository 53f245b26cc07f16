#include "cuda/search/threshold_pass.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "cuda/runtime/device.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/search/box_map.h"
#include "cuda/search/exact_pass.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "survivors.cu";
constexpr std::size_t kStratum = 64;  // rows of which one is in the sample
constexpr double kMostFailures = 2e-4;
constexpr std::size_t kFewestQueries = 65;  // below, rows are read faster than they are multiplied
constexpr std::size_t kFewestPlaces = 2048;
constexpr std::size_t kPlaceBytes = sizeof(float) + 2 * sizeof(u32) + sizeof(double);
constexpr std::size_t kTileBytes = std::size_t{256} << 20;
constexpr std::size_t kMostTile = 4096;
constexpr unsigned kThreads = kScanThreads;

/// Twice what survives in all but one of some million queries, for the margin lets some more in.
std::size_t capacity_for(std::size_t rank) {
    const double mean = static_cast<double>(kStratum * rank);
    const double deviation = static_cast<double>(kStratum) * std::sqrt(static_cast<double>(rank));
    const auto most = static_cast<std::size_t>(2.0 * (mean + 6.0 * deviation));
    return std::max(kFewestPlaces, round_up(most, std::size_t{64}));
}

/// Queries and rows of a tile of threshold_scan.
struct Shape {
    std::size_t queries;
    std::size_t rows;
};

Shape shape_for(DType dtype) { return dtype == DType::kF32 ? Shape{64, 128} : Shape{128, 128}; }

/// The file of a scan's kernel.
std::string source_of(const char* scan, DType dtype, const char* floats) {
    return scan + std::string(are_bytes(dtype) ? suffix(dtype) : floats) + ".cu";
}

/// Of threshold_warpgroups.
constexpr Shape kWarpgroupShape{128, 256};
constexpr unsigned kWarpgroupThreads = 384;
constexpr std::size_t kRingStages = 4;
constexpr std::size_t kWarpgroupShared =
    kRingStages * ((kWarpgroupShape.queries + kWarpgroupShape.rows) * kBoxBytes + 16) + 1024;

bool has_warpgroups(const Device& device) {
    const Capability capability = device.capability();
    return capability.major == 9 && capability.minor == 0 &&
           device.shared_bytes() >= kWarpgroupShared;
}

}  // namespace

std::size_t sample_rank(std::size_t k) noexcept {
    const double share = 1.0 / static_cast<double>(kStratum);
    const double n = static_cast<double>(k);
    double log_exactly = n * std::log1p(-share);  // that none is in the sample
    double below = 0.0;
    for (std::size_t r = 0; r <= k; ++r) {
        if (1.0 - below < kMostFailures) return r;
        below += std::exp(log_exactly);
        const double i = static_cast<double>(r);
        log_exactly += std::log((n - i) / (i + 1.0) * share / (1.0 - share));
    }
    return k + 1;  // more than there are: for certain
}

bool ThresholdPass::suits(const SearchRequest& r) noexcept {
    if (r.scan != Scan::kThresholds || !GroupPass::suits(r)) return false;
    if (r.mask != 0 || r.exclude_self || r.fold) return false;
    const std::size_t rank = sample_rank(r.k);
    return r.queries.rows >= kFewestQueries && groups_of(r.rows.rows / kStratum) >= 4 * rank &&
           r.rows.rows >= 4 * capacity_for(rank);
}

ThresholdPass::ThresholdPass(const SearchRequest& request, Scratch& scratch,
                             const QueryMaking& making)
    : r_(request),
      rank_(sample_rank(request.k)),
      samples_(request.rows.rows / kStratum),
      capacity_(capacity_for(rank_)),
      constants_(request.rows) {
    const std::size_t each = capacity_ * kPlaceBytes + groups_of(samples_) * sizeof(float);
    const std::size_t fitting = std::max(kTileBytes / each, std::size_t{128}) / 128 * 128;
    tile_ = std::min({fitting, r_.queries.rows, kMostTile});
    take_places(scratch, making);
}

void ThresholdPass::take_places(Scratch& scratch, const QueryMaking& making) {
    const std::size_t best = tile_ * std::max(r_.k, rank_), places = tile_ * capacity_;
    panel_stride_ = round_up(r_.rows.cols, std::size_t{16});
    own_constants_ = scratch.take(r_.constants != 0 ? 0 : constants_.bytes());
    queries_.emplace(r_, tile_, scratch, making);
    panel_ = scratch.take(samples_ * panel_stride_ * size_of(r_.rows.dtype));
    panel_scale_ = scratch.take(samples_ * sizeof(float));
    panel_bias_ = scratch.take(samples_ * sizeof(float));
    maxima_ = scratch.take(tile_ * groups_of(samples_) * sizeof(float));
    thresholds_ = scratch.take(tile_ * sizeof(float));
    scores_ = scratch.take(places * sizeof(float));
    rows_ = scratch.take(places * sizeof(u32));
    counts_ = scratch.take(tile_ * sizeof(u32));
    best_ = scratch.take(best * sizeof(float));
    best_ids_ = scratch.take(best * sizeof(u32));
    best_keys_ = scratch.take(best * sizeof(u64));
    lists_ = scratch.take(places * sizeof(u32));
    kept_ = scratch.take(tile_ * sizeof(u32));
    keys_ = scratch.take(places * sizeof(double));
    select_keys_ = scratch.take(r_.k > kMostSharedKeys ? tile_ * r_.k * kKeyBytes : 0);
    found_ = scratch.take(tile_ * r_.k * sizeof(double));
    found_rows_ = scratch.take(tile_ * r_.k * sizeof(u32));
    lengths_ = scratch.take(tile_ * sizeof(u32));
}

ScanRows ThresholdPass::sample(CUdeviceptr at) const {
    ScanRows all = constants_.scan_rows(constants_at(at), r_.metric);
    all.rows.address = at + panel_;
    all.rows.rows = samples_;
    all.rows.stride = panel_stride_;
    if (all.scale != 0) all.scale = at + panel_scale_;
    if (all.bias != 0) all.bias = at + panel_bias_;
    return all;
}

void ThresholdPass::prepare_rows(const StreamRef& stream, CUdeviceptr at) const {
    if (r_.constants == 0) constants_.compute(stream, r_.metric, constants_at(at));
    const ScanRows all = constants_.scan_rows(constants_at(at), r_.metric);
    const bool bytes = are_bytes(r_.rows.dtype);
    const std::size_t words = bytes ? 1 : size_of(r_.rows.dtype) / sizeof(std::uint16_t);
    launch(stream, {kSource, bytes ? "sample_rows_of_bytes" : "sample_rows"},
           {{static_cast<unsigned>(samples_), 1, 1}, {kThreads, 1, 1}, 0}, r_.rows.address,
           u64{r_.rows.stride * words}, static_cast<u32>(r_.rows.cols * words), all.scale, all.bias,
           at + panel_, u64{panel_stride_ * words}, at + panel_scale_, at + panel_bias_);
}

/// The k best of `length` floats a query, into best_.
void ThresholdPass::select_best(const StreamRef& stream, unsigned queries, std::size_t k,
                                const Pairs& of, std::size_t length, CUdeviceptr counts,
                                CUdeviceptr at) const {
    launch(stream, {"select_k.cu", "select_k_radix_f32"}, {{queries, 1, 1}, {256, 1, 1}, 0},
           of.keys, of.rows, u64{length}, counts, static_cast<u32>(length), u32{0},
           static_cast<u32>(k), at + best_keys_, at + best_, at + best_ids_);
}

void ThresholdPass::find_thresholds(const StreamRef& stream, const QueryTile& q,
                                    CUdeviceptr at) const {
    scan_groups(stream, *queries_, q, sample(at), at + maxima_, at);
    select_best(stream, static_cast<unsigned>(q.count), rank_, {at + maxima_, 0},
                groups_of(samples_), 0, at);
    launch(stream, {kSource, "find_thresholds"},
           {{blocks_of(q.count, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, at + best_,
           static_cast<u32>(rank_), queries_->margin(q, at), static_cast<u32>(q.count),
           at + thresholds_);
}

void ThresholdPass::scan(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    clear(stream, at + counts_, q.count * sizeof(u32));
    if (has_warpgroups(*stream.device) && is_mapped(r_.rows))
        return scan_by_warpgroups(stream, q, at);
    const ScanRows all = constants_.scan_rows(constants_at(at), r_.metric);
    const Shape shape = shape_for(r_.rows.dtype);
    const std::string name = std::string("threshold_scan_") + suffix(r_.rows.dtype);
    const std::string source = source_of("threshold_scan_", r_.rows.dtype, "floats");
    const std::size_t size = size_of(r_.rows.dtype);
    const unsigned blocks = blocks_of(q.count, shape.queries) * blocks_of(r_.rows.rows, shape.rows);
    launch(stream, {source.c_str(), name.c_str()},
           {{blocks, 1, 1}, {256, 1, 1}, 240 * (shape.queries + shape.rows)},
           queries_->prepared(q, at), u64{queries_->stride() * size}, static_cast<u32>(q.count),
           r_.rows.address, u64{r_.rows.stride * size}, static_cast<u32>(r_.rows.rows),
           static_cast<u32>(r_.rows.cols * size), all.scale, all.bias, queries_->unit(q, at),
           CUdeviceptr{0}, at + thresholds_, at + scores_, at + rows_, at + counts_,
           static_cast<u32>(capacity_));
}

void ThresholdPass::scan_by_warpgroups(const StreamRef& stream, const QueryTile& q,
                                       CUdeviceptr at) const {
    const ScanRows all = constants_.scan_rows(constants_at(at), r_.metric);
    const DeviceRows queries{queries_->prepared(q, at), q.count, r_.rows.cols, queries_->stride(),
                             r_.rows.dtype};
    const std::string name = std::string("threshold_warpgroups_") + suffix(r_.rows.dtype);
    const std::string source = source_of("threshold_warpgroups_", r_.rows.dtype, "halves");
    const std::size_t tiles = std::size_t{blocks_of(q.count, kWarpgroupShape.queries)} *
                              blocks_of(r_.rows.rows, kWarpgroupShape.rows);
    const auto processors = static_cast<std::size_t>(stream.device->multiprocessors());
    launch(stream, {source.c_str(), name.c_str()},
           {{static_cast<unsigned>(std::min(tiles, processors)), 1, 1},
            {kWarpgroupThreads, 1, 1},
            kWarpgroupShared},
           box_map(*stream.device, queries, kWarpgroupShape.queries),
           box_map(*stream.device, r_.rows, kWarpgroupShape.rows), static_cast<u32>(q.count),
           static_cast<u32>(r_.rows.rows), static_cast<u32>(r_.rows.cols * size_of(r_.rows.dtype)),
           all.scale, all.bias, queries_->unit(q, at), CUdeviceptr{0}, at + thresholds_,
           at + scores_, at + rows_, at + counts_, static_cast<u32>(capacity_));
}

void ThresholdPass::keep_survivors(const StreamRef& stream, const QueryTile& q,
                                   CUdeviceptr at) const {
    const auto count = static_cast<unsigned>(q.count);
    select_best(stream, count, r_.k, {at + scores_, at + rows_}, capacity_, at + counts_, at);
    clear(stream, at + kept_, q.count * sizeof(u32));
    launch(stream, {kSource, "keep_survivors"}, {{count, 1, 1}, {kThreads, 1, 1}, 0}, at + scores_,
           at + rows_, at + counts_, static_cast<u32>(capacity_), at + thresholds_, at + best_,
           static_cast<u32>(r_.k), queries_->margin(q, at), static_cast<u32>(r_.rows.rows),
           at + lists_, at + kept_, at + lengths_);
}

void ThresholdPass::rescore(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const auto count = static_cast<unsigned>(q.count);
    const std::string name = std::string("rescore_rows_") + suffix(r_.rows.dtype);
    const unsigned slices = std::min(blocks_of(r_.k, 2 * kThreads / 32), 16U);
    launch(stream, {kSource, name.c_str()}, {{count, slices, 1}, {kThreads, 1, 1}, 0}, q.queries,
           u64{r_.rows.cols}, r_.rows.address, u64{r_.rows.stride}, static_cast<u32>(r_.rows.cols),
           kernel_metric(r_.metric), constants_.norms(constants_at(at)), at + lists_, at + kept_,
           static_cast<u32>(capacity_), at + keys_);
    const bool shared = r_.k <= kMostSharedKeys;
    launch(stream, {"select_k.cu", "select_k_radix_f64"},
           {{count, 1, 1}, {kThreads, 1, 1}, shared ? r_.k * kKeyBytes : 0}, at + keys_,
           at + lists_, u64{capacity_}, at + kept_, static_cast<u32>(capacity_), u32{0},
           static_cast<u32>(r_.k), shared ? CUdeviceptr{0} : at + select_keys_, at + found_,
           at + found_rows_);
}

ScanPass::Found ThresholdPass::run(const StreamRef& stream, const QueryTile& q,
                                   CUdeviceptr at) const {
    queries_->prepare(stream, q, constants_.limits(constants_at(at)), at);
    find_thresholds(stream, q, at);
    scan(stream, q, at);
    keep_survivors(stream, q, at);
    rescore(stream, q, at);
    return {{at + found_, at + found_rows_}, at + lengths_};
}

}  // namespace nearfield::cuda
