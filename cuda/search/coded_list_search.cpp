#include "cuda/search/coded_list_search.h"

#include <algorithm>
#include <optional>

#include "cuda/runtime/launch.h"
#include "cuda/search/best_pairs.h"
#include "cuda/search/coarse_step.h"
#include "cuda/search/exact_pass.h"
#include "cuda/search/list_pass.h"
#include "cuda/search/open_pass.h"
#include "cuda/search/plain_queries.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "coded_lists.cu";
constexpr unsigned kThreads = 128;

/// Rows of the lists that so many queries look into, at most.
std::size_t most_rows(const ListRequest& r, std::size_t queries) {
    const std::size_t rows = r.listed.rows.rows, lists = r.listed.sizes.lists();
    if (r.may_widen() || queries >= lists) return rows;
    const std::size_t probes = std::min(lists, queries * r.nprobe);
    return std::min(rows, r.listed.sizes.most_groups(probes) * kGroupRows);
}

std::size_t rows_of_slice(const CodedListRequest& r, const ListRequest& whole) {
    const std::size_t fitting = kSliceBytes / (r.lists.coded.stride() * sizeof(float));
    const std::size_t wanted = r.lists.slice_rows != 0 ? r.lists.slice_rows : fitting;
    return std::min(std::max<std::size_t>(wanted, 1), most_rows(whole, whole.queries.rows));
}

/// Slices of the rows of probed lists: which they are, decoded, and what searches by lists need of them.
class Slices {
public:
    /// at: where scratch memory is.
    Slices(const CodedLists& lists, const ListRequest& whole, std::size_t rows, CUdeviceptr at,
           Scratch& scratch)
        : lists_(lists),
          rows_(rows),
          count_(whole.listed.sizes.lists()),
          offsets_(whole.listed.offsets) {
        const auto take = [&](std::size_t bytes) { return at + scratch.take(bytes); };
        const std::size_t stride = lists.coded.stride(), dim = lists.coded.decoding.dim;
        starts_ = take((count_ + 2) * sizeof(u32));
        codes_ = take(rows * lists.coded.decoding.code_size);
        list_of_ = take(rows * sizeof(u32));
        bias_ = take(rows * sizeof(float));
        part.sizes = whole.listed.sizes;
        part.are_units = true;
        part.centroids = whole.listed.centroids;
        part.centroid_constants = whole.listed.centroid_constants;
        part.grouped = whole.listed.grouped;
        part.groups = whole.listed.groups;
        part.whole_offsets = whole.listed.all_offsets();
        part.offsets = take((count_ + 2) * sizeof(u32));
        part.names = take(rows * sizeof(u32));
        part.rows = {take(rows * stride * sizeof(float)), rows, dim, stride, DType::kF32};
        part.constants = take(list_constants_bytes(part.rows));
    }
    Slices(const Slices&) = delete;  // a request refers to the part

    /// Enqueues: no list is wanted.
    void clear(const StreamRef& stream) const {
        cuda::clear(stream, starts_, (count_ + 2) * sizeof(u32));
    }
    /// Enqueues: the lists of some probes are.
    void want(const StreamRef& stream, CUdeviceptr probes, std::size_t count) const {
        launch(stream, {kSource, "mark_probed"},
               {{blocks_of(count, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, probes, u64{count},
               offsets_, starts_);
    }
    /// Enqueues, when all are: where each list starts.
    void number(const StreamRef& stream) const {
        launch(stream, {"sort_pairs.cu", "place_of_counts"}, {{1, 1, 1}, {256, 1, 1}, 0}, starts_,
               static_cast<u32>(count_ + 2));
    }

    /// Enqueues the decoding of the rows from `first` on. all: rows that may answer.
    Answering decode(const StreamRef& stream, std::size_t first, Metric metric,
                     const Answering& all) const {
        gather(stream, first, all.names);
        CodedRows gathered = lists_.coded;
        gathered.codes = codes_;
        gathered.rows = rows_;
        cuda::decode(stream, gathered, 0, rows_, part.rows.address);
        if (lists_.centres != 0) add_centres(stream);
        compute_list_constants(stream, part.rows, metric, part.constants);
        const RowConstants constants(part.rows, scan_form(DType::kF32).stored);
        launch(stream, {kSource, "leave_out_nameless"}, threads_for(rows_), part.names,
               constants.bias(part.constants, metric), static_cast<u32>(rows_), bias_);
        return {part.names, bias_, all.allowed};
    }

    ListedRows part{{}, 0, 0, 0, 0, {}, 0, ListSizes(std::span<const u32>()), nullptr};

private:
    static Grid threads_for(std::size_t count) {
        return {{blocks_of(count, kThreads), 1, 1}, {kThreads, 1, 1}, 0};
    }

    void gather(const StreamRef& stream, std::size_t first, CUdeviceptr names) const {
        const auto lists = static_cast<u32>(count_), from = static_cast<u32>(first),
                   count = static_cast<u32>(rows_);
        launch(stream, {kSource, "cut_lists"}, threads_for(count_ + 2), starts_, lists, from, count,
               part.offsets);
        launch(stream, {kSource, "gather_codes"},
               {{blocks_of(rows_, kThreads / 32), 1, 1}, {kThreads, 1, 1}, 0}, starts_, offsets_,
               lists, from, count, lists_.coded.codes,
               static_cast<u32>(lists_.coded.decoding.code_size), names, codes_, part.names,
               list_of_);
    }
    void add_centres(const StreamRef& stream) const {
        launch(stream, {kSource, "add_centres"},
               {{static_cast<unsigned>(rows_), 1, 1}, {kThreads, 1, 1}, 0}, list_of_,
               static_cast<u32>(count_), lists_.centres, static_cast<u32>(part.rows.cols),
               part.rows.address, u64{part.rows.stride});
    }

    const CodedLists& lists_;
    std::size_t rows_, count_;
    CUdeviceptr offsets_;  // of the codes, which may be a part of all rows themselves
    CUdeviceptr starts_, codes_, list_of_, bias_;
};

ListRequest of_part(const ListRequest& whole, const ListedRows& part) {
    return {whole.queries, part,       whole.metric, whole.k,     whole.nprobe,
            whole.margin,  whole.mask, whole.labels, whole.groups};
}

/// The steps of a search and where each works.
class CodedListSearch {
public:
    /// at: where scratch memory is; 0 to find out how much.
    CodedListSearch(const CodedListRequest& request, CUdeviceptr at)
        : coded_(request.lists.coded),
          whole_(request.asked.resolved()),
          at_(at),
          queries_(whole_.queries, scratch_),
          mask_(whole_, scratch_),
          rows_(rows_of_slice(request, whole_)),
          slices_(request.lists, whole_, rows_, at, scratch_),
          slice_(of_part(whole_, slices_.part)),
          pass_(slice_, scratch_),
          tile_(pass_.tile()),
          coarse_(whole_, tile_, scratch_) {
        if (OpenPass::is_needed(slice_, pass_.may_cut())) {
            open_.emplace(slice_, tile_, pass_.capacity(), scratch_);
            tile_ = std::min(tile_, open_->tile());
        }
        const std::size_t dim = coded_.decoding.dim;
        rotated_ = scratch_.take(coded_.rotation == 0 ? 0 : tile_ * dim * sizeof(float));
        best_.emplace(tile_, whole_.k, scratch_);
    }
    CodedListSearch(const CodedListSearch&) = delete;  // passes refer to the requests

    std::size_t bytes() const { return scratch_.bytes(); }

    void run(const StreamRef& stream, const SearchOut& out) const {
        const CUdeviceptr plain = queries_.make(stream, at_);
        const Answering all = mask_.apply(stream, 0, at_);
        for (std::size_t first = 0; first < whole_.queries.rows; first += tile_) {
            const std::size_t count = std::min(tile_, whole_.queries.rows - first);
            const CUdeviceptr queries = plain + first * coded_.decoding.dim * sizeof(float);
            search(stream, {queries, 0, count}, all);
            finish(stream, whole_.by_names(), out, {queries, first, count}, best_->at(at_),
                   whole_.k);
        }
    }

private:
    /// The best pairs of a tile.
    void search(const StreamRef& stream, const QueryTile& q, const Answering& all) const {
        const CUdeviceptr probes = choose(stream, q, all);
        const QueryTile asked{turned(stream, q), 0, q.count};
        const std::size_t rows = most_rows(whole_, q.count);
        for (std::size_t first = 0; first < rows; first += rows_) {
            const Answering some = slices_.decode(stream, first, slice_.row_metric(), all);
            const ListPass::Found found = pass_.run(stream, asked, probes, some, at_);
            const auto take = [&](const QueryTile& these, const Pairs& pairs, std::size_t count,
                                  CUdeviceptr lengths) {
                best_->place(stream, these, pairs, count, 0, lengths, at_);
            };
            take(asked, found.pairs, pass_.found(), 0);
            if (open_) open_->run_part(stream, asked, probes, found.counts, some, at_, take);
            best_->join(stream, first == 0, at_);
        }
    }

    /// The lists that the queries look into; those whose rows may be too few look into more.
    CUdeviceptr choose(const StreamRef& stream, const QueryTile& q, const Answering& all) const {
        const CUdeviceptr probes = coarse_.run(stream, q, at_);
        slices_.clear(stream);
        slices_.want(stream, probes, q.count * whole_.nprobe);
        if (open_) {
            const CUdeviceptr more = open_->widened(stream, q, probes, all, at_);
            slices_.want(stream, more, q.count * open_->most_probes());
        }
        slices_.number(stream);
        return probes;
    }

    CUdeviceptr turned(const StreamRef& stream, const QueryTile& q) const {
        if (coded_.rotation == 0) return q.queries;
        rotate(stream, coded_, q.queries, q.count, at_ + rotated_);
        return at_ + rotated_;
    }

    const CodedRows& coded_;
    ListRequest whole_;
    CUdeviceptr at_;
    Scratch scratch_;
    PlainQueries queries_;
    RowMask mask_;
    std::size_t rows_;  // of a slice
    Slices slices_;
    ListRequest slice_;
    ListPass pass_;
    std::size_t tile_;
    CoarseStep coarse_;
    std::optional<OpenPass> open_;
    std::size_t rotated_ = 0;
    std::optional<BestPairs> best_;
};

}  // namespace

std::size_t coded_list_scratch_bytes(const CodedListRequest& request) {
    check_sizes(request.asked);
    if (request.asked.queries.rows == 0 || request.lists.listed.rows.rows == 0) return 0;
    return CodedListSearch(request, 0).bytes();
}

void search_coded_lists(const StreamRef& stream, const CodedListRequest& request,
                        const SearchOut& out, CUdeviceptr scratch) {
    check_sizes(request.asked);
    if (request.asked.queries.rows == 0) return;
    if (request.lists.listed.rows.rows == 0) return find_nothing(stream, request.asked, out);
    CodedListSearch(request, scratch).run(stream, out);
}

}  // namespace nearfield::cuda
