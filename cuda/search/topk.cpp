#include "cuda/search/topk.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "cuda/search/exact_pass.h"
#include "cuda/search/group_pass.h"
#include "cuda/search/plain_queries.h"
#include "cuda/search/threshold_pass.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;

void check_sizes(const SearchRequest& r) {
    constexpr std::size_t kMost = std::numeric_limits<u32>::max() - 1;
    if (r.k == 0 || r.k > kMost || r.rows.rows > kMost || r.queries.rows > kMost) {
        throw std::invalid_argument("k, queries and rows: expected fewer than 2**32 - 1 of each");
    }
    if (r.queries.cols != r.rows.cols) {
        throw std::invalid_argument("queries: got " + std::to_string(r.queries.cols) +
                                    " columns, expected " + std::to_string(r.rows.cols) +
                                    ", those of the rows");
    }
    if (r.exclude_self && r.queries.rows != r.rows.rows) {
        throw std::invalid_argument("exclude_self: expected as many queries as rows");
    }
}

/// Null where rows are scored exactly from the start.
std::unique_ptr<ScanPass> scan_for(const SearchRequest& r, Scratch& scratch) {
    if (ThresholdPass::suits(r)) return std::make_unique<ThresholdPass>(r, scratch);
    if (GroupPass::suits(r)) return std::make_unique<GroupPass>(r, scratch);
    return nullptr;
}

/// The passes of a search and where each works.
struct Search {
    const SearchRequest& r;
    Scratch scratch;
    PlainQueries queries;
    std::unique_ptr<ScanPass> scan;
    std::size_t tile;  // queries at a time
    ExactPass exact;

    explicit Search(const SearchRequest& request)
        : r(request),
          queries(r.queries, scratch),
          scan(scan_for(r, scratch)),
          tile(scan ? scan->tile() : r.queries.rows),
          exact(r, tile, scratch) {}

    /// In tiles of tiles: what the scan leaves undecided is scored exactly.
    void run(const StreamRef& stream, const SearchOut& out, CUdeviceptr at) const {
        const CUdeviceptr plain = queries.make(stream, at);
        const auto part = [&](std::size_t first, std::size_t count) {
            return QueryTile{plain + first * r.rows.cols * sizeof(float), first, count};
        };
        if (scan) scan->prepare_rows(stream, at);
        for (std::size_t first = 0; first < r.queries.rows; first += tile) {
            const std::size_t count = std::min(tile, r.queries.rows - first);
            CUdeviceptr lengths = 0;
            if (scan) lengths = scan->run(stream, out, part(first, count), at);
            for (std::size_t i = 0; i < count; i += exact.tile()) {
                exact.run(stream, out, part(first + i, std::min(exact.tile(), count - i)), at,
                          lengths != 0 ? lengths + i * sizeof(u32) : 0);
            }
        }
    }
};

}  // namespace

std::size_t constants_bytes(const DeviceRows& rows) { return RowConstants(rows).bytes(); }

void compute_constants(const StreamRef& stream, const DeviceRows& rows, Metric metric,
                       CUdeviceptr at) {
    if (rows.rows != 0) RowConstants(rows).compute(stream, metric, at);
}

std::size_t scratch_bytes(const SearchRequest& request) {
    check_sizes(request);
    return Search(request).scratch.bytes();
}

void topk(const StreamRef& stream, const SearchRequest& request, const SearchOut& out,
          CUdeviceptr scratch) {
    check_sizes(request);
    if (request.queries.rows == 0) return;
    const Search search(request);
    if (scratch != 0) return search.run(stream, out, scratch);
    const DeviceBuffer own(stream, search.scratch.bytes());
    search.run(stream, out, own.address());
}

}  // namespace nearfield::cuda
