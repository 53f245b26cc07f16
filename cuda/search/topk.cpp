#include "cuda/search/topk.h"

#include <limits>
#include <optional>
#include <stdexcept>
#include <string>

#include "cuda/search/group_pass.h"
#include "cuda/search/plain_queries.h"
#include "cuda/search/row_passes.h"

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

std::optional<MappedQueries> mapped_of(const SearchRequest& r, Scratch& scratch) {
    if (!r.unmapped) return std::nullopt;
    return MappedQueries(r, scratch);
}

std::optional<PlainQueries> plain_of(const SearchRequest& r, Scratch& scratch) {
    if (r.unmapped) return std::nullopt;
    return PlainQueries(r.queries, scratch);
}

/// The passes of a search and where each works.
struct Search {
    const SearchRequest& r;
    Scratch scratch;
    std::optional<MappedQueries> mapped;
    std::optional<PlainQueries> plain;
    RowPasses passes;

    explicit Search(const SearchRequest& request)
        : r(request),
          mapped(mapped_of(r, scratch)),
          plain(plain_of(r, scratch)),
          passes(r, scratch, mapped ? &*mapped : nullptr) {}

    void run(const StreamRef& stream, const SearchOut& out, CUdeviceptr at) const {
        passes.run(
            stream, mapped ? mapped->floats(at) : plain->make(stream, at), r.rows.cols, at,
            [&](const QueryTile& tile, const Pairs& pairs, std::size_t found, CUdeviceptr lengths) {
                finish(stream, r, out, tile, pairs, found, lengths);
            });
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
