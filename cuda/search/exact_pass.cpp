#include "cuda/search/exact_pass.h"

#include <algorithm>
#include <string>

#include "cuda/runtime/device.h"
#include "cuda/runtime/launch.h"
#include "cuda/search/ranked.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "exact.cu";
constexpr std::size_t kScoreBytes = std::size_t{256} << 20;  // of scores at a time, where one fits
constexpr std::size_t kQueriesOfWarp = 8;
constexpr unsigned kThreads = 128;
constexpr std::size_t kRowsOfSlice = 4096;
constexpr std::size_t kMostSlices = 64;
constexpr std::size_t kMostBlocks = 1 << 16;
constexpr std::size_t kBlocksOfMultiprocessor = 16;
constexpr std::size_t kMostQueries = kMostBlocks / 2 * 4;  // a warp has 4 that are folded

}  // namespace

ExactPass::ExactPass(const SearchRequest& request, std::size_t most_queries, Scratch& scratch,
                     const FoldedQueries* folded)
    : r_(request), folded_(folded) {
    const std::size_t n = r_.rows.rows;
    found_ = std::min(r_.k, n);
    // A slice should leave out far more than it selects.
    slices_ = std::clamp<std::size_t>(n / std::max(kRowsOfSlice, 8 * found_), 1, kMostSlices);
    const std::size_t fitting = kScoreBytes / (8 * std::max<std::size_t>(n, 1));
    const std::size_t wanted = std::max(fitting / kQueriesOfWarp, std::size_t{1}) * kQueriesOfWarp;
    tile_ = std::min({wanted, most_queries, kMostQueries});
    const std::size_t pairs = tile_ * found_;
    scores_ = scratch.take(tile_ * n * sizeof(double));
    if (found_ > kMostSharedKeys) keys_ = scratch.take(pairs * slices_ * kKeyBytes);
    best_ = scratch.take(pairs * slices_ * sizeof(double));
    best_rows_ = scratch.take(pairs * slices_ * sizeof(u32));
    if (slices_ == 1) return;
    few_ = scratch.take(pairs * sizeof(double));
    few_rows_ = scratch.take(pairs * sizeof(u32));
}

Pairs ExactPass::find(const StreamRef& stream, const QueryTile& queries, CUdeviceptr scratch,
                      CUdeviceptr lengths) const {
    if (r_.rows.rows == 0) return {};
    score(stream, queries, scratch, lengths);
    return select(stream, queries.count, scratch, lengths);
}

void ExactPass::run(const StreamRef& stream, const SearchOut& out, const QueryTile& queries,
                    CUdeviceptr scratch, CUdeviceptr lengths) const {
    finish(stream, r_, out, queries, find(stream, queries, scratch, lengths), found_, lengths);
}

void ExactPass::score(const StreamRef& stream, const QueryTile& queries, CUdeviceptr scratch,
                      CUdeviceptr lengths) const {
    if (folded_ != nullptr) {
        return folded_->score(stream, queries, lengths, scratch + scores_, scratch);
    }
    const std::string name = std::string("exact_scores_") + suffix(r_.rows.dtype);
    constexpr std::size_t kRowsOfBlock = kThreads / 32;
    const std::size_t wanted = (r_.rows.rows + kRowsOfBlock - 1) / kRowsOfBlock;
    // Where few queries or none are left, most blocks only look and leave.
    const std::size_t few =
        static_cast<std::size_t>(stream.device->multiprocessors()) * kBlocksOfMultiprocessor;
    const auto blocks = static_cast<unsigned>(std::min(wanted, lengths != 0 ? few : kMostBlocks));
    const auto groups =
        static_cast<unsigned>((queries.count + kQueriesOfWarp - 1) / kQueriesOfWarp);
    launch(stream, {kSource, name.c_str()}, {{blocks, groups, 1}, {kThreads, 1, 1}, 0},
           queries.queries, static_cast<u32>(queries.count), static_cast<u32>(queries.first),
           r_.rows.address, u64{r_.rows.stride}, static_cast<u32>(r_.rows.rows),
           static_cast<u32>(r_.rows.cols), kernel_metric(r_.metric), r_.mask,
           static_cast<u32>(r_.exclude_self), lengths, scratch + scores_);
}

void ExactPass::select_k(const StreamRef& stream, const Pairs& in, std::size_t length,
                         std::size_t count, std::size_t slices, CUdeviceptr scratch,
                         CUdeviceptr lengths, const Pairs& best) const {
    const bool shared = found_ <= kMostSharedKeys;
    const Grid grid{{static_cast<unsigned>(count), static_cast<unsigned>(slices), 1},
                    {kThreads, 1, 1},
                    shared ? found_ * kKeyBytes : 0};
    launch(stream, {"select_k.cu", "select_k_radix_f64"}, grid, in.keys, in.rows, u64{length},
           lengths, static_cast<u32>(length), u32{0}, static_cast<u32>(found_),
           shared ? CUdeviceptr{0} : scratch + keys_, best.keys, best.rows);
}

Pairs ExactPass::select(const StreamRef& stream, std::size_t count, CUdeviceptr scratch,
                        CUdeviceptr lengths) const {
    const Pairs best{scratch + best_, scratch + best_rows_};
    select_k(stream, {scratch + scores_, 0}, r_.rows.rows, count, slices_, scratch, lengths, best);
    if (slices_ == 1) return best;
    const Pairs few{scratch + few_, scratch + few_rows_};
    select_k(stream, best, slices_ * found_, count, 1, scratch, 0, few);
    return few;
}

void finish(const StreamRef& stream, const SearchRequest& request, const SearchOut& out,
            const QueryTile& queries, const Pairs& pairs, std::size_t found, CUdeviceptr lengths) {
    const std::size_t k = request.k;
    launch(stream, {kSource, "finish_f64"},
           {{static_cast<unsigned>(queries.count), 1, 1}, {32, 1, 1}, 0}, pairs.keys, pairs.rows,
           static_cast<u32>(found), queries.queries, static_cast<u32>(request.rows.cols),
           kernel_metric(request.metric), request.labels, lengths, static_cast<u32>(k),
           out.ids + queries.first * k * sizeof(std::int64_t),
           out.scores + queries.first * k * sizeof(float),
           out.counts + queries.first * sizeof(std::int64_t));
    if (out.keys != 0) keep_keys(stream, out.keys, queries, k, pairs, found, lengths);
}

}  // namespace nearfield::cuda
