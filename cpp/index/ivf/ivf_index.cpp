#include "index/ivf/ivf_index.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"

namespace nearfield {
namespace {

/// Runs per list, on average, above which rows are put in order anew.
constexpr std::size_t kMaxRuns = 4;

RowStore empty_store(std::size_t dim, Metric metric, DType dtype, std::size_t nlist) {
    check_dim(dim);
    if (nlist == 0 || nlist > IvfIndex::kMaxLists) {
        throw std::invalid_argument("nlist: got " + std::to_string(nlist) + ", expected 1 to " +
                                    std::to_string(IvfIndex::kMaxLists));
    }
    RowStore store(dim, metric, dtype);
    store.lists = std::make_shared<Lists>(nlist);
    return store;
}

/// Live rows list by list, and how many each list has.
std::vector<Id> rows_by_list(const RowStore& store, std::vector<std::uint32_t>& counts) {
    std::vector<Id> rows;
    rows.reserve(store.live_count());
    counts.assign(store.lists->size(), 0);
    for (std::size_t list = 0; list < counts.size(); ++list) {
        const std::size_t before = rows.size();
        for (const Run& run : store.lists->runs(list)) {
            for (Id row = run.first; row < run.first + run.count; ++row) {
                if (store.is_live(row)) rows.push_back(row);
            }
        }
        counts[list] = static_cast<std::uint32_t>(rows.size() - before);
    }
    return rows;
}

/// The live rows of `store` in the order of its lists.
RowStore ordered(const RowStore& store, int threads) {
    std::vector<std::uint32_t> counts;
    const std::vector<Id> rows = rows_by_list(store, counts);
    RowStore out = store.taken(rows, threads);
    out.lists = std::make_shared<Lists>(Lists(counts.size()).extended(0, counts));
    return out;
}

}  // namespace

IvfIndex::IvfIndex(std::size_t dim, Metric metric, DType dtype, std::size_t nlist,
                   std::uint64_t seed)
    : Index(empty_store(dim, metric, dtype, nlist)), nlist_(nlist), seed_(seed) {}

IvfIndex::IvfIndex(RowStore store, std::size_t nlist, std::uint64_t seed,
                   std::shared_ptr<const CoarseLists> coarse)
    : Index(std::move(store)), nlist_(nlist), seed_(seed), coarse_(std::move(coarse)) {}

std::shared_ptr<const CoarseLists> IvfIndex::coarse() const {
    const std::lock_guard lock(coarse_mutex_);
    return coarse_;
}

std::shared_ptr<const CoarseLists> IvfIndex::centroids() const {
    auto lists = coarse();
    if (lists == nullptr) {
        throw NotTrained("the index has no centroids yet: call train() with at least " +
                         std::to_string(nlist_) + " rows, or add() as many");
    }
    return lists;
}

void IvfIndex::set_coarse(std::shared_ptr<const CoarseLists> lists) {
    const std::lock_guard lock(coarse_mutex_);
    coarse_.swap(lists);
}

void IvfIndex::check_untrained() const {
    if (!is_trained()) return;
    throw std::invalid_argument(
        "the index is trained already; make a new one to train on other rows");
}

void IvfIndex::train(const RowsView& rows, int threads) {
    const auto store = snapshot();
    if (rows.cols != store->spec.dim || rows.dtype != store->spec.dtype) {
        throw std::invalid_argument("x: got dim " + std::to_string(rows.cols) + ", expected " +
                                    std::to_string(store->spec.dim) +
                                    " and the storage type of the index");
    }
    check_untrained();
    auto trained = std::make_shared<const CoarseLists>(
        CoarseLists::train(rows, store->spec.metric, nlist_, seed_, threads));
    const auto lock = write_lock();
    check_untrained();
    set_coarse(std::move(trained));
}

void IvfIndex::append(RowStore& store, const RowsView& rows, const std::int64_t* labels,
                      int threads) {
    const auto trained = coarse();
    const auto lists = trained != nullptr ? trained
                                          : std::make_shared<const CoarseLists>(CoarseLists::train(
                                                rows, store.spec.metric, nlist_, seed_, threads));
    const std::vector<Id> list = lists->assign(rows, threads);
    std::vector<std::uint32_t> counts(nlist_, 0);
    for (const Id l : list) ++counts[l];
    std::vector<Id> next(nlist_, 0);
    for (std::size_t l = 1; l < nlist_; ++l) next[l] = next[l - 1] + counts[l - 1];
    std::vector<Id> order(rows.rows);
    for (std::size_t i = 0; i < rows.rows; ++i) order[next[list[i]]++] = static_cast<Id>(i);

    const std::size_t first = store.count;
    store.append(rows, labels, order.data(), threads);
    store.lists = std::make_shared<Lists>(store.lists->extended(first, counts));
    if (store.lists->runs() > kMaxRuns * nlist_) store = ordered(store, threads);
    if (trained == nullptr) set_coarse(lists);  // rows that cannot be added leave it untrained
}

RowStore IvfIndex::compacted(const RowStore& store, int threads) const {
    return ordered(store, threads);
}

std::size_t IvfIndex::bytes() const {
    const auto lists = coarse();
    return Index::bytes() + (lists != nullptr ? lists->bytes() : 0);
}

std::vector<std::uint32_t> IvfIndex::list_sizes() const { return snapshot()->lists->sizes(); }

std::size_t IvfIndex::probes_of(const SearchOptions& options) const {
    if (options.nprobe == 0) {
        throw std::invalid_argument("nprobe: got 0, expected at least 1");
    }
    return std::min(options.nprobe, nlist_);
}

void IvfIndex::search_store(const RowStore& store, const RowFilter* filter,
                            MatrixView<float> queries, std::size_t k, const SearchOptions& options,
                            const TopKOut& out) const {
    const auto lists = centroids();
    std::size_t nprobe = probes_of(options);
    const StoredRows rows = store.view(filter);
    const std::vector<Id> nearest = lists->nearest(queries, nprobe, options.threads);
    search_lists(rows, *store.lists, queries, {nearest, nprobe}, k, options.threads, out);

    // Lists that hold fewer than k rows which may answer do not end a search.
    const std::size_t there = rows.filter != nullptr ? rows.filter->count() : store.count;
    const auto wanted = static_cast<std::int64_t>(std::min(k, there));
    std::vector<Id> few;
    for (std::size_t i = 0; i < queries.rows; ++i) {
        if (out.counts[i] < wanted) few.push_back(static_cast<Id>(i));
    }
    while (!few.empty() && nprobe < nlist_) {
        nprobe = std::min(nlist_, nprobe * 4);
        std::erase_if(few, [&](Id i) {
            const MatrixView<float> query(queries.row(i), 1, queries.cols);
            const std::vector<Id> more = lists->nearest(query, nprobe, options.threads);
            search_lists(rows, *store.lists, query, {more, nprobe}, k, options.threads,
                         {out.ids + i * k, out.scores + i * k, out.counts + i});
            return out.counts[i] >= wanted;
        });
    }
}

std::vector<RangeHits> IvfIndex::range_search_store(const RowStore& store, const RowFilter* filter,
                                                    MatrixView<float> queries, double threshold,
                                                    const SearchOptions& options) const {
    const std::size_t nprobe = probes_of(options);
    const std::vector<Id> nearest = centroids()->nearest(queries, nprobe, options.threads);
    const StoredRows rows = store.view(filter);
    std::vector<RangeHits> out(queries.rows);
    parallel_for(queries.rows, options.threads, [&](std::size_t i, int) {
        std::vector<Run> runs;
        for (const Id list : Probes{nearest, nprobe}.of(i)) {
            const auto mine = store.lists->runs(list);
            runs.insert(runs.end(), mine.begin(), mine.end());
        }
        out[i] = range_search_runs(rows, {queries.row(i), 1, queries.cols}, threshold, runs);
    });
    return out;
}

}  // namespace nearfield
