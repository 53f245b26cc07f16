#include "cuda/search/coded_search.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "cuda/search/best_pairs.h"
#include "cuda/search/plain_queries.h"
#include "cuda/search/row_passes.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;

void check_sizes(const CodedRequest& r) {
    constexpr std::size_t kMost = std::numeric_limits<u32>::max() - 1;
    if (r.k == 0 || r.k > kMost / 2 || r.coded.rows > kMost || r.queries.rows > kMost) {
        throw std::invalid_argument("k, queries and rows: expected fewer than 2**32 - 1 of each");
    }
    if (r.queries.cols != r.coded.decoding.dim) {
        throw std::invalid_argument("queries: expected the columns of the rows");
    }
}

std::size_t slice_rows(const CodedRequest& r) {
    const std::size_t fitting = kSliceBytes / (r.coded.stride() * sizeof(float));
    const std::size_t wanted = r.slice_rows != 0 ? r.slice_rows : fitting;
    return std::min(std::max<std::size_t>(wanted, 1), r.coded.rows);
}

/// A search of slices of one size, as decoded rows.
struct SliceSearch {
    SearchRequest request;
    RowPasses passes;

    SliceSearch(const SearchRequest& slice, Scratch& scratch)
        : request(slice), passes(request, scratch) {}
    SliceSearch(const SliceSearch&) = delete;  // the passes refer to the request

    /// Decoded rows count as unit vectors under cosine: they were when they were encoded.
    static SearchRequest of_slice(const CodedRequest& r, std::size_t rows) {
        const std::size_t dim = r.coded.decoding.dim;
        SearchRequest s;
        s.queries = {0, r.queries.rows, dim, dim, DType::kF32};
        s.rows = {0, rows, dim, r.coded.stride(), DType::kF32};
        s.metric = r.metric == Metric::kCosine ? Metric::kIp : r.metric;
        s.k = r.k;
        s.mask = r.mask;
        s.scan = r.scan;
        return s;
    }
};

struct CodedSearch {
    const CodedRequest& r;
    Scratch scratch;
    PlainQueries queries;
    std::size_t rows;  // of a slice
    std::size_t rotated, decoded;
    BestPairs best;
    Scratch before;  // slices, which work in the same memory, one after another
    std::size_t most;

    explicit CodedSearch(const CodedRequest& request)
        : r(request),
          queries(r.queries, scratch),
          rows(slice_rows(r)),
          rotated(scratch.take(
              r.coded.rotation == 0 ? 0 : r.queries.rows * r.coded.decoding.dim * sizeof(float))),
          decoded(scratch.take(rows * r.coded.stride() * sizeof(float))),
          best(r.queries.rows, r.k, scratch),
          before(scratch),
          most(scratch.bytes()) {
        if (rows == 0) return;
        for (const std::size_t size : {rows, r.coded.rows % rows}) {
            Scratch with(before);
            const SliceSearch slice(SliceSearch::of_slice(r, size), with);
            most = std::max(most, with.bytes());
        }
    }

    std::size_t bytes() const { return most; }

    void run(const StreamRef& stream, const SearchOut& out, CUdeviceptr at) const {
        const CUdeviceptr plain = queries.make(stream, at);
        CUdeviceptr asked = plain;
        if (r.coded.rotation != 0) {
            asked = at + rotated;
            rotate(stream, r.coded, plain, r.queries.rows, asked);
        }
        for (std::size_t first = 0; first < r.coded.rows; first += rows) {
            search_slice(stream, asked, first, at);
        }
        SearchRequest named = SliceSearch::of_slice(r, 0);
        named.metric = r.metric;
        named.labels = r.labels;
        const Pairs pairs = r.coded.rows == 0 ? Pairs{} : best.at(at);
        finish(stream, named, out, {plain, 0, r.queries.rows}, pairs, r.coded.rows == 0 ? 0 : r.k);
    }

    void search_slice(const StreamRef& stream, CUdeviceptr asked, std::size_t first,
                      CUdeviceptr at) const {
        // Made where its rows are: passes keep what they were told.
        const std::size_t count = std::min(rows, r.coded.rows - first);
        SearchRequest request = SliceSearch::of_slice(r, count);
        request.rows.address = at + decoded;
        request.mask = r.mask != 0 ? r.mask + first : 0;
        Scratch with(before);
        const SliceSearch slice(request, with);
        decode(stream, r.coded, first, count, at + decoded);
        slice.passes.run(
            stream, asked, r.coded.decoding.dim, at,
            [&](const QueryTile& tile, const Pairs& pairs, std::size_t found, CUdeviceptr lengths) {
                best.place(stream, tile, pairs, found, first, lengths, at);
            });
        best.join(stream, first == 0, at);
    }
};

}  // namespace

std::size_t coded_scratch_bytes(const CodedRequest& request) {
    check_sizes(request);
    return CodedSearch(request).bytes();
}

void search_coded(const StreamRef& stream, const CodedRequest& request, const SearchOut& out,
                  CUdeviceptr scratch) {
    check_sizes(request);
    if (request.queries.rows != 0) CodedSearch(request).run(stream, out, scratch);
}

}  // namespace nearfield::cuda
