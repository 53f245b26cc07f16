#include "cuda/search/folded_queries.h"

#include <algorithm>
#include <string>

#include "cuda/runtime/launch.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "folded.cu";
constexpr unsigned kThreads = 128;
constexpr std::size_t kQueriesOfWarp = 4;
constexpr unsigned kMostBlocks = 1 << 16;

}  // namespace

FoldedQueries::FoldedQueries(const SearchRequest& request, Scratch& scratch) : r_(request) {
    const std::size_t queries = r_.queries.rows;
    factors_ = scratch.take(queries * 2 * r_.fold->rank * sizeof(double));
    folded_ = scratch.take(queries * 2 * r_.rows.cols * sizeof(float));
}

void FoldedQueries::fold(const StreamRef& stream, CUdeviceptr queries, CUdeviceptr at) const {
    const FoldedMap& map = *r_.fold;
    launch(stream, {kSource, "fold_queries"},
           {{static_cast<unsigned>(r_.queries.rows), 1, 1}, {kThreads, 1, 1}, 0}, queries,
           static_cast<u32>(r_.rows.cols), static_cast<u32>(map.rank), map.left, map.weights,
           map.right, at + factors_, at + folded_);
}

void FoldedQueries::score(const StreamRef& stream, const QueryTile& q, CUdeviceptr asked,
                          CUdeviceptr keys, CUdeviceptr at) const {
    const DeviceRows& rows = r_.rows;
    const std::string name = std::string("folded_scores_") + suffix(rows.dtype);
    const unsigned blocks = std::min(blocks_of(rows.rows, kThreads / 32), kMostBlocks);
    launch(stream, {kSource, name.c_str()},
           {{blocks, blocks_of(q.count, kQueriesOfWarp), 1}, {kThreads, 1, 1}, 0},
           high(q.first, at), static_cast<u32>(q.count), rows.address, u64{rows.stride},
           static_cast<u32>(rows.rows), static_cast<u32>(rows.cols), kernel_metric(r_.metric),
           lengths(), r_.mask, asked, keys);
}

void FoldedQueries::rescore(const StreamRef& stream, const QueryTile& q, unsigned slices,
                            const GroupKeys& groups, CUdeviceptr at) const {
    const DeviceRows& rows = r_.rows;
    const std::string name = std::string("rescore_folded_") + suffix(rows.dtype);
    launch(stream, {kSource, name.c_str()},
           {{static_cast<unsigned>(q.count), slices, 1}, {kThreads, 1, 1}, 0}, high(q.first, at),
           rows.address, u64{rows.stride}, static_cast<u32>(rows.rows), static_cast<u32>(rows.cols),
           kernel_metric(r_.metric), lengths(), r_.mask, groups.lists, groups.counts,
           static_cast<u32>(groups.capacity), groups.keys, groups.rows, groups.pairs);
}

void FoldedQueries::finish(const StreamRef& stream, const QueryTile& q, CUdeviceptr asked,
                           std::size_t found, CUdeviceptr keys) const {
    if (r_.metric != Metric::kL2) return;
    launch(stream, {kSource, "finish_keys"},
           {{static_cast<unsigned>(q.count), 1, 1}, {32, 1, 1}, 0}, q.queries,
           static_cast<u32>(r_.rows.cols), asked, static_cast<u32>(found), keys);
}

}  // namespace nearfield::cuda
