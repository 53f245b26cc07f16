#include "cuda/search/folded_pass.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cuda/runtime/launch.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "folded.cu";
constexpr unsigned kThreads = 128;
constexpr std::size_t kQueriesOfWarp = 4;
constexpr std::size_t kMostBlocks = 1 << 16;
constexpr std::size_t kMostTile = kMostBlocks / 2 * kQueriesOfWarp;

class FoldedPass : public ExactPass {
public:
    FoldedPass(const SearchRequest& request, const FoldedMap& map, Scratch& scratch)
        : ExactPass(request, request.queries.rows, scratch), request_(request), map_(map) {
        const std::size_t queries = request.queries.rows;
        factors_ = scratch.take(queries * 2 * map.rank * sizeof(double));
        folded_ = scratch.take(queries * 2 * request.rows.cols * sizeof(float));
    }

    void run_all(const StreamRef& stream, const SearchOut& out, CUdeviceptr at) const {
        const SearchRequest& r = request_;
        const std::size_t dim = r.rows.cols;
        launch(stream, {kSource, "fold_queries"},
               {{static_cast<unsigned>(r.queries.rows), 1, 1}, {kThreads, 1, 1}, 0},
               r.queries.address, static_cast<u32>(dim), static_cast<u32>(map_.rank), map_.left,
               map_.weights, map_.right, at + factors_, at + folded_);
        const std::size_t step = std::min(tile(), kMostTile);
        for (std::size_t first = 0; first < r.queries.rows; first += step) {
            const std::size_t count = std::min(step, r.queries.rows - first);
            run_tile(stream, out, {r.queries.address + first * dim * sizeof(float), first, count},
                     at);
        }
    }

private:
    void run_tile(const StreamRef& stream, const SearchOut& out, const QueryTile& q,
                  CUdeviceptr at) const {
        Pairs best;
        if (request_.rows.rows != 0) {
            score_folded(stream, q, at);
            best = select(stream, q.count, at, 0);
            if (request_.metric == Metric::kL2) {
                launch(stream, {kSource, "finish_keys"},
                       {{static_cast<unsigned>(q.count), 1, 1}, {32, 1, 1}, 0}, q.queries,
                       static_cast<u32>(request_.rows.cols), static_cast<u32>(found_), best.keys);
            }
        }
        finish(stream, request_, out, q, best, found_);
    }

    void score_folded(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
        const DeviceRows& rows = request_.rows;
        const std::string name = std::string("folded_scores_") + suffix(rows.dtype);
        const std::size_t wanted = (rows.rows + kThreads / 32 - 1) / (kThreads / 32);
        const auto groups = static_cast<unsigned>((q.count + kQueriesOfWarp - 1) / kQueriesOfWarp);
        launch(stream, {kSource, name.c_str()},
               {{static_cast<unsigned>(std::min(wanted, kMostBlocks)), groups, 1},
                {kThreads, 1, 1},
                0},
               at + folded_ + q.first * 2 * rows.cols * sizeof(float), static_cast<u32>(q.count),
               rows.address, u64{rows.stride}, static_cast<u32>(rows.rows),
               static_cast<u32>(rows.cols), kernel_metric(request_.metric), map_.lengths,
               request_.mask, at + scores_);
    }

    const SearchRequest& request_;
    FoldedMap map_;
    std::size_t factors_ = 0, folded_ = 0;
};

void check(const SearchRequest& r) {
    if (r.queries.dtype != DType::kF32 || r.queries.stride != r.queries.cols ||
        r.queries.cols != r.rows.cols || r.k == 0) {
        throw std::invalid_argument("queries: expected dense float32 rows of the rows' columns");
    }
}

}  // namespace

std::size_t folded_scratch_bytes(const SearchRequest& request, const FoldedMap& map) {
    check(request);
    Scratch scratch;
    const FoldedPass pass(request, map, scratch);
    return scratch.bytes();
}

void folded_topk(const StreamRef& stream, const SearchRequest& request, const FoldedMap& map,
                 const SearchOut& out, CUdeviceptr scratch) {
    check(request);
    if (request.queries.rows == 0) return;
    Scratch reserved;
    FoldedPass(request, map, reserved).run_all(stream, out, scratch);
}

}  // namespace nearfield::cuda
