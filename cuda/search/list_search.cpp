#include "cuda/search/list_search.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>

#include "cuda/search/coarse_step.h"
#include "cuda/search/exact_pass.h"
#include "cuda/search/list_pass.h"
#include "cuda/search/open_pass.h"
#include "cuda/search/plain_queries.h"

namespace nearfield::cuda {

void check_sizes(const ListRequest& r) {
    constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max() - 1;
    if (r.k == 0 || r.nprobe == 0 || std::max({r.k, r.listed.rows.rows, r.queries.rows}) > kMost) {
        throw std::invalid_argument(
            "k, nprobe, queries and rows: expected 1 and more of k and nprobe, fewer than "
            "2**32 - 1 of each");
    }
    if (r.queries.cols != r.listed.rows.cols) {
        throw std::invalid_argument("queries: got " + std::to_string(r.queries.cols) +
                                    " columns, expected " + std::to_string(r.listed.rows.cols) +
                                    ", those of the rows");
    }
    const bool are_all = r.listed.whole_offsets == 0;
    if (r.listed.sizes.rows() < r.listed.rows.rows ||
        (are_all && r.listed.sizes.rows() != r.listed.rows.rows) ||
        r.listed.sizes.lists() != r.listed.centroids.rows) {
        throw std::invalid_argument("lists: expected as many as centroids, holding all rows");
    }
    if (r.groups != 0 && r.listed.grouped == nullptr) {
        throw std::invalid_argument("groups: got some of centroids that lie in none");
    }
}

namespace {

/// The steps of a search and where each works.
struct ListSearch {
    ListRequest r;
    Scratch scratch;
    PlainQueries queries;
    RowMask mask;
    ListPass pass;
    CoarseStep coarse;
    std::optional<OpenPass> open;

    explicit ListSearch(const ListRequest& request)
        : r(request.resolved()),
          queries(r.queries, scratch),
          mask(r, scratch),
          pass(r, scratch),
          coarse(r, pass.tile(), scratch) {
        if (OpenPass::is_needed(r, pass.may_cut())) {
            open.emplace(r, pass.tile(), pass.capacity(), scratch);
        }
    }

    void run(const StreamRef& stream, const SearchOut& out, CUdeviceptr at) const {
        const CUdeviceptr plain = queries.make(stream, at);
        const RowConstants constants(r.listed.rows, scan_form(r.listed.rows.dtype).stored);
        const Answering rows = mask.apply(stream, constants.bias(r.listed.constants, r.metric), at);
        for (std::size_t first = 0; first < r.queries.rows; first += pass.tile()) {
            const QueryTile tile{plain + first * r.queries.cols * sizeof(float), first,
                                 std::min(pass.tile(), r.queries.rows - first)};
            const CUdeviceptr probes = coarse.run(stream, tile, at);
            const ListPass::Found found = pass.run(stream, tile, probes, rows, at);
            const auto take = [&](const QueryTile& some, const Pairs& pairs, std::size_t count,
                                  CUdeviceptr lengths) {
                finish(stream, r.by_names(), out, some, pairs, count, lengths);
            };
            take(tile, found.pairs, pass.found(), 0);
            if (open) open->run(stream, tile, probes, found.counts, rows, at, take);
        }
    }
};

}  // namespace

void find_nothing(const StreamRef& stream, const ListRequest& r, const SearchOut& out) {
    SearchRequest nothing = r.by_names();
    nothing.rows.cols = 0;
    finish(stream, nothing, out, {0, 0, r.queries.rows}, {}, 0);
}

std::size_t list_constants_bytes(const DeviceRows& rows) {
    return RowConstants(rows, scan_form(rows.dtype).stored).bytes();
}

void compute_list_constants(const StreamRef& stream, const DeviceRows& rows, Metric metric,
                            CUdeviceptr at) {
    if (rows.rows == 0) return;
    RowConstants(rows, scan_form(rows.dtype).stored).compute(stream, metric, at);
}

std::size_t list_scratch_bytes(const ListRequest& request) {
    check_sizes(request);
    if (request.queries.rows == 0 || request.listed.rows.rows == 0) return 0;
    return ListSearch(request).scratch.bytes();
}

void search_lists(const StreamRef& stream, const ListRequest& request, const SearchOut& out,
                  CUdeviceptr scratch) {
    check_sizes(request);
    if (request.queries.rows == 0) return;
    if (request.listed.rows.rows == 0) return find_nothing(stream, request, out);
    ListSearch(request).run(stream, out, scratch);
}

}  // namespace nearfield::cuda
