#include "cuda/search/graph_search.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <stdexcept>

#include "cuda/runtime/launch.h"
#include "cuda/search/coded_rows.h"
#include "cuda/search/plain_queries.h"
#include "cuda/search/row_passes.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;

void check_sizes(const GraphRequest& r) {
    constexpr std::size_t kMostRows = std::numeric_limits<std::int32_t>::max();
    constexpr std::size_t kMost = std::numeric_limits<u32>::max() - 1;
    if (r.graph.rows > kMostRows || r.search.rows.rows > r.graph.rows) {
        throw std::invalid_argument("a graph on a device has at most 2**31 - 1 rows");
    }
    if (r.search.queries.cols != r.search.rows.cols || r.search.k == 0) {
        throw std::invalid_argument("queries: expected the columns of the rows, and k > 0");
    }
    if (r.search.k > kMost || r.search.queries.rows > kMost) {
        throw std::invalid_argument("k and queries: expected fewer than 2**32 - 1 of each");
    }
}

GraphRequest by_rows(const GraphRequest& r) {
    GraphRequest out = r;
    out.search.metric = r.row_metric();
    return out;
}

/// A walk, or every row where that is the better way, and where it works.
class Search {
public:
    Search(const Device& device, const GraphRequest& request)
        : asked_(request.search),
          rows_(by_rows(request)),
          queries_(asked_.queries, scratch_),
          rotated_(
              scratch_.take(rows_.graph.rotation == 0 ? 0 : asked_.queries.rows * query_bytes())) {
        if (GraphPass::suits(rows_, device.shared_bytes())) {
            walk_.emplace(rows_, scratch_);
        } else {
            all_.emplace(rows_.search, scratch_);
        }
    }
    Search(const Search&) = delete;  // passes refer to the requests

    std::size_t bytes() const { return scratch_.bytes(); }

    void run(const StreamRef& stream, const SearchOut& out, CUdeviceptr at) const {
        const CUdeviceptr plain = queries_.make(stream, at), turned = turn(stream, plain, at);
        const std::size_t bytes = query_bytes(), n = asked_.queries.rows;
        // Scores are divided by the length of queries as they came.
        const TakePairs take = [&](const QueryTile& tile, const Pairs& pairs, std::size_t found,
                                   CUdeviceptr lengths) {
            const QueryTile came{plain + tile.first * bytes, tile.first, tile.count};
            finish(stream, asked_, out, came, pairs, found, lengths);
        };
        if (all_) return all_->run(stream, turned, asked_.rows.cols, at, take);
        for (std::size_t first = 0; first < n; first += walk_->tile()) {
            const std::size_t count = std::min(walk_->tile(), n - first);
            walk_->run(stream, {turned + first * bytes, first, count}, at, take);
        }
    }

private:
    std::size_t query_bytes() const noexcept { return asked_.queries.cols * sizeof(float); }

    /// Queries as rows lie.
    CUdeviceptr turn(const StreamRef& stream, CUdeviceptr plain, CUdeviceptr at) const {
        if (rows_.graph.rotation == 0) return plain;
        rotate(stream, rows_.graph.rotation, asked_.queries.cols, plain, asked_.queries.rows,
               at + rotated_);
        return at + rotated_;
    }

    const SearchRequest& asked_;
    GraphRequest rows_;
    Scratch scratch_;
    PlainQueries queries_;
    std::size_t rotated_;
    std::optional<GraphPass> walk_;
    std::optional<RowPasses> all_;
};

}  // namespace

std::size_t graph_scratch_bytes(const Device& device, const GraphRequest& request) {
    check_sizes(request);
    return Search(device, request).bytes();
}

void search_graph(const StreamRef& stream, const GraphRequest& request, const SearchOut& out,
                  CUdeviceptr scratch) {
    check_sizes(request);
    if (request.search.queries.rows == 0) return;
    Search(*stream.device, request).run(stream, out, scratch);
}

void order_mask(const StreamRef& stream, CUdeviceptr mask, CUdeviceptr order, std::size_t count,
                CUdeviceptr out) {
    constexpr std::size_t kThreads = 128;
    if (count == 0) return;
    launch(stream, {"graph_descend.cu", "ordered_mask"},
           {{blocks_of(count, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, mask, order,
           static_cast<u32>(count), out);
}

}  // namespace nearfield::cuda
