#include "index/ivf/ivf_index.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "index/coded_search.h"
#include "index/ivf/list_order.h"
#include "index/ivf/margin.h"
#include "index/query_subset.h"
#include "index/train_coding.h"

namespace nearfield {
namespace {

/// Rows are put in order anew above so many runs per list and fewer rows per run, on average. Without the
/// second condition the work for n rows that come in equal pieces would grow with n^2.
constexpr std::size_t kMaxRuns = 4;
constexpr std::size_t kMinRunRows = 64;
/// Pairs of a query and a list near it that are held at once, 16 bytes each.
constexpr std::size_t kMaxPairs = std::size_t{1} << 22;
constexpr double kNoMargin = std::numeric_limits<double>::infinity();

RowStore empty_lists(std::size_t dim, Metric metric, DType dtype, std::size_t nlist,
                     std::shared_ptr<const RowCoding> coding) {
    RowStore store = empty_store(dim, metric, dtype, std::move(coding));
    if (nlist == 0 || nlist > IvfIndex::kMaxLists) {
        throw std::invalid_argument("nlist: got " + std::to_string(nlist) + ", expected 1 to " +
                                    std::to_string(IvfIndex::kMaxLists));
    }
    store.lists = std::make_shared<Lists>(nlist);
    return store;
}

/// The live rows of `store` in the order of its lists.
RowStore ordered(const RowStore& store, int threads) {
    std::vector<std::uint32_t> counts;
    const std::vector<Id> rows = rows_by_list(store, counts);
    RowStore out = store.taken(rows, threads);
    out.lists = std::make_shared<Lists>(Lists(counts.size()).extended(0, counts));
    return out;
}

void check_places(std::span<const Id> places, std::size_t rows, std::size_t nlist) {
    const bool fits = std::all_of(places.begin(), places.end(), [&](Id l) { return l < nlist; });
    if (places.size() == rows && fits) return;
    throw std::invalid_argument("places: got " + std::to_string(places.size()) +
                                " lists, expected a number below nlist for each of " +
                                std::to_string(rows) + " rows, of an index that is trained");
}

std::size_t queries_at_once(std::size_t nprobe) {
    return std::max<std::size_t>(kMaxPairs / nprobe, 1);
}

/// What one search looks for, and where.
struct Asked {
    const CoarseLists& coarse;
    const CoarseAdapter* adapter;  // null: centroids as they are
    const Lists& lists;
    StoredRows rows;
    Wanted wanted;
    double margin;
    int threads;

    /// The nprobe lists nearest to each query, without those that are too far.
    std::vector<Id> nearest(MatrixView<float> queries, std::size_t nprobe) const {
        std::vector<Id> found = coarse.nearest(queries, nprobe, adapter, threads);
        if (std::isfinite(margin)) {
            leave_out_far(found, nprobe, queries, coarse.scorer(adapter), margin, threads);
        }
        return found;
    }
};

/// The k best rows of the nprobe lists nearest to each query.
void search_nearest(const Asked& asked, MatrixView<float> queries, std::size_t nprobe,
                    const TopKOut& out) {
    if (nprobe == asked.lists.size() && !std::isfinite(asked.margin)) {
        if (asked.rows.coded) {
            search_coded(asked.rows, asked.lists, queries, asked.wanted, asked.threads, out);
        } else {
            search_rows(asked.rows, queries, asked.wanted.k, false, asked.threads, out);
        }
        return;
    }
    const std::size_t at_once = queries_at_once(nprobe);
    for (std::size_t first = 0; first < queries.rows; first += at_once) {
        const std::size_t n = std::min(at_once, queries.rows - first);
        const MatrixView<float> part(queries.row(first), n, queries.cols, queries.stride);
        const std::vector<Id> nearest = asked.nearest(part, nprobe);
        const std::size_t k = asked.wanted.k;
        search_lists(asked.rows, asked.lists, part, {nearest, nprobe}, asked.wanted, asked.threads,
                     {out.ids + first * k, out.scores + first * k, out.counts + first});
    }
}

}  // namespace

IvfIndex::IvfIndex(std::size_t dim, Metric metric, DType dtype, std::size_t nlist,
                   std::uint64_t seed, std::shared_ptr<const RowCoding> coding, CoarseKind coarse)
    : Index(empty_lists(dim, metric, dtype, nlist, std::move(coding))),
      nlist_(nlist),
      seed_(seed),
      coarse_kind_(coarse) {}

IvfIndex::IvfIndex(RowStore store, std::size_t nlist, std::uint64_t seed, CoarseKind kind,
                   std::shared_ptr<const CoarseLists> coarse)
    : Index(std::move(store)),
      nlist_(nlist),
      seed_(seed),
      coarse_kind_(kind),
      coarse_(std::move(coarse)) {}

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
    if (coarse() == nullptr) return;
    throw std::invalid_argument(
        "the index is trained already; make a new one to train on other rows");
}

void IvfIndex::train(const RowsView& rows, int threads, const Clustering& clustering) {
    check_rows(rows);
    check_untrained();
    auto trained = train_coarse(coarse_kind_, rows, snapshot()->spec.metric, nlist_, seed_, threads,
                                clustering);
    const auto lock = write_lock();
    check_untrained();
    RowStore next = *snapshot();
    if (next.coding != nullptr) {
        next.coding = coding_about(next, trained, rows, threads);
        publish(std::move(next));
    }
    set_coarse(std::move(trained));
}

std::shared_ptr<const RowCoding> IvfIndex::coding_about(
    const RowStore& store, const std::shared_ptr<const CoarseLists>& lists, const RowsView& rows,
    int threads) const {
    RowCoding coding = *store.coding;
    if (coding.residual) {
        coding.set_centres(std::shared_ptr<const float>(lists, lists->centroids()), nlist_,
                           lists->max_norm());
    }
    const Assign assign = [&](MatrixView<float> sample) {
        return lists->nearest(sample, 1, threads);
    };
    return train_coding(coding, rows, store.spec.metric, seed_, assign, threads);
}

void IvfIndex::append(RowStore& store, const RowsView& rows, const std::int64_t* labels,
                      std::span<const Id> places, int threads) {
    const auto trained = coarse();
    if (!places.empty()) check_places(places, rows.rows, trained == nullptr ? 0 : nlist_);
    const auto lists = trained != nullptr ? trained
                                          : train_coarse(coarse_kind_, rows, store.spec.metric,
                                                         nlist_, seed_, threads);
    if (store.coding != nullptr && !store.coding->is_trained()) {
        store.coding = coding_about(store, lists, rows, threads);
    }
    const std::vector<Id> list = places.empty() ? lists->assign(rows, threads)
                                                : std::vector<Id>(places.begin(), places.end());
    std::vector<std::uint32_t> counts(nlist_, 0);
    for (const Id l : list) ++counts[l];
    std::vector<Id> next(nlist_, 0);
    for (std::size_t l = 1; l < nlist_; ++l) next[l] = next[l - 1] + counts[l - 1];
    std::vector<Id> order(rows.rows);
    for (std::size_t i = 0; i < rows.rows; ++i) order[next[list[i]]++] = static_cast<Id>(i);

    const std::size_t first = store.count;
    store.append(rows, labels, {order.data(), list.data()}, threads);
    store.lists = std::make_shared<Lists>(store.lists->extended(first, counts));
    if (store.lists->runs() > std::max(kMaxRuns * nlist_, store.count / kMinRunRows)) {
        store = ordered(store, threads);
    }
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

std::shared_ptr<const CoarseAdapter> IvfIndex::coarse_adapter(const CoarseLists& lists,
                                                              const SearchOptions& options) const {
    if (options.adapter == nullptr) return nullptr;
    const auto& map = options.adapter->map;
    {
        const std::lock_guard lock(coarse_mutex_);
        for (const auto& known : adapted_) {
            if (known.first.lock() == map) return known.second;
        }
    }
    auto adapter = lists.adapted(map, options.threads);
    const std::lock_guard lock(coarse_mutex_);
    std::erase_if(adapted_, [](const auto& known) { return known.first.expired(); });
    adapted_.emplace_back(map, adapter);
    return adapter;
}

void IvfIndex::search_store(const RowStore& store, const RowFilter* filter,
                            MatrixView<float> queries, std::size_t k, const SearchOptions& options,
                            const TopKOut& out) const {
    const auto coarse = centroids();
    const auto adapter = coarse_adapter(*coarse, options);
    Asked asked{*coarse,
                adapter.get(),
                *store.lists,
                store.view(filter, options.adapter),
                {k, options.rerank, options.epsilon},
                options.margin,
                options.threads};
    const std::size_t there = filter != nullptr ? filter->count() : store.live_count();
    const std::size_t wanted = std::min(k, there);
    // Where every row that may answer does, no list can be left out.
    std::size_t nprobe = wanted == there ? nlist_ : probes_of(options);
    if (wanted == there) asked.margin = kNoMargin;
    search_nearest(asked, queries, nprobe, out);

    // Lists that hold fewer than k rows which may answer do not end a search.
    while (nprobe < nlist_ || std::isfinite(asked.margin)) {
        std::vector<std::size_t> few;
        for (std::size_t i = 0; i < queries.rows; ++i) {
            if (out.counts[i] < static_cast<std::int64_t>(wanted)) few.push_back(i);
        }
        if (few.empty()) return;
        nprobe = std::min(nlist_, nprobe * 4);
        asked.margin = kNoMargin;
        QuerySubset subset(queries, std::move(few), k);
        search_nearest(asked, subset.queries(), nprobe, subset.answers());
        subset.deliver(out);
    }
}

std::vector<RangeHits> IvfIndex::range_search_store(const RowStore& store, const RowFilter* filter,
                                                    MatrixView<float> queries, double threshold,
                                                    const SearchOptions& options) const {
    const auto coarse = centroids();
    const std::size_t nprobe = probes_of(options);
    const StoredRows rows = store.view(filter, options.adapter);
    const auto adapter = coarse_adapter(*coarse, options);
    const Asked asked{*coarse, adapter.get(),  *store.lists,   rows,
                      {},      options.margin, options.threads};
    if (nprobe == nlist_ && !std::isfinite(options.margin)) {
        return range_search_rows(rows, queries, threshold, options.threads);
    }
    std::vector<RangeHits> out(queries.rows);
    const std::size_t at_once = queries_at_once(nprobe);
    for (std::size_t first = 0; first < queries.rows; first += at_once) {
        const std::size_t n = std::min(at_once, queries.rows - first);
        const MatrixView<float> part(queries.row(first), n, queries.cols, queries.stride);
        const std::vector<Id> nearest = asked.nearest(part, nprobe);
        parallel_for(n, options.threads, [&](std::size_t i, int) {
            std::vector<Run> runs;
            for (const Id list : Probes{nearest, nprobe}.of(i)) {
                if (list == kNoList) continue;
                const auto mine = store.lists->runs(list);
                runs.insert(runs.end(), mine.begin(), mine.end());
            }
            out[first + i] = range_search_runs(rows, {part.row(i), 1, part.cols}, threshold, runs);
        });
    }
    return out;
}

}  // namespace nearfield
