#include "cuda/search/coded_search.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "cuda/runtime/launch.h"
#include "cuda/search/plain_queries.h"
#include "cuda/search/row_passes.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr std::size_t kSliceBytes = std::size_t{256} << 20;
constexpr std::size_t kJoinedQueries = 1024;  // at a time
constexpr unsigned kThreads = 128;

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

/// The best pairs of all queries so far, and where those of a slice join them.
class BestPairs {
public:
    BestPairs(const CodedRequest& request, Scratch& scratch) : r_(request) {
        const std::size_t pairs = r_.queries.rows * r_.k;
        keys_ = scratch.take(pairs * sizeof(double));
        rows_ = scratch.take(pairs * sizeof(u32));
        both_keys_ = scratch.take(2 * pairs * sizeof(double));
        both_rows_ = scratch.take(2 * pairs * sizeof(u32));
        const std::size_t together = std::min(r_.queries.rows, kJoinedQueries);
        select_keys_ = scratch.take(is_shared() ? 0 : together * r_.k * kKeyBytes);
    }

    Pairs at(CUdeviceptr scratch) const { return {scratch + keys_, scratch + rows_}; }

    /// Enqueues: pairs of a slice that starts with row `first`, of the queries of a tile.
    void place(const StreamRef& stream, const QueryTile& q, const Pairs& pairs, std::size_t found,
               std::size_t first, CUdeviceptr lengths, CUdeviceptr scratch) const {
        place_at(stream, q.first, q.count, pairs, found, first, lengths, r_.k, scratch);
    }

    /// Enqueues: the best of what there was and what was placed. begins: there was nothing.
    void join(const StreamRef& stream, bool begins, CUdeviceptr at) const {
        const std::size_t count = r_.queries.rows;
        const Pairs before = begins ? Pairs{} : this->at(at);
        place_at(stream, 0, count, before, r_.k, 0, 0, 0, at);
        for (std::size_t first = 0; first < count; first += kJoinedQueries) {
            select(stream, first, std::min(kJoinedQueries, count - first), at);
        }
    }

private:
    bool is_shared() const noexcept { return r_.k <= kMostSharedKeys; }

    void place_at(const StreamRef& stream, std::size_t first_query, std::size_t count,
                  const Pairs& pairs, std::size_t found, std::size_t first_row, CUdeviceptr lengths,
                  std::size_t place, CUdeviceptr at) const {
        const std::size_t before = 2 * first_query * r_.k;
        launch(stream, {"join_pairs.cu", "place_pairs"},
               {{static_cast<unsigned>(count), 1, 1}, {kThreads, 1, 1}, 0}, pairs.keys, pairs.rows,
               static_cast<u32>(found), static_cast<u32>(first_row), lengths,
               static_cast<u32>(r_.k), static_cast<u32>(place),
               at + both_keys_ + before * sizeof(double), at + both_rows_ + before * sizeof(u32));
    }

    void select(const StreamRef& stream, std::size_t first, std::size_t count,
                CUdeviceptr at) const {
        const std::size_t pairs = first * r_.k, length = 2 * r_.k;
        const Grid grid{{static_cast<unsigned>(count), 1, 1},
                        {kThreads, 1, 1},
                        is_shared() ? r_.k * kKeyBytes : 0};
        launch(stream, {"select_k.cu", "select_k_radix_f64"}, grid,
               at + both_keys_ + 2 * pairs * sizeof(double),
               at + both_rows_ + 2 * pairs * sizeof(u32), u64{length}, CUdeviceptr{0},
               static_cast<u32>(length), u32{0}, static_cast<u32>(r_.k),
               is_shared() ? CUdeviceptr{0} : at + select_keys_,
               at + keys_ + pairs * sizeof(double), at + rows_ + pairs * sizeof(u32));
    }

    const CodedRequest& r_;
    std::size_t keys_ = 0, rows_ = 0, both_keys_ = 0, both_rows_ = 0, select_keys_ = 0;
};

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
          best(r, scratch),
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
