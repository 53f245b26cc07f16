#include "index/index.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <unordered_set>
#include <utility>

#include "base/interrupt.h"
#include "index/row_file.h"
#include "index/train_coding.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// Sums of byte products stay within 32 bits.
constexpr std::size_t kMaxDim = 65536;
/// Dead rows a store carries before it is compacted.
constexpr std::size_t kMinDead = 1024;

}  // namespace

void check_dim(std::size_t dim) {
    if (dim == 0 || dim > kMaxDim) {
        throw std::invalid_argument("dim: got " + std::to_string(dim) + ", expected 1 to " +
                                    std::to_string(kMaxDim));
    }
}

RowStore empty_store(std::size_t dim, Metric metric, DType dtype,
                     std::shared_ptr<const RowCoding> coding) {
    check_dim(dim);
    RowStore store(dim, metric, dtype);
    store.coding = std::move(coding);
    return store;
}

void check_queries(const RowStore& store, MatrixView<float> queries) {
    if (queries.cols != store.spec.dim) {
        throw std::invalid_argument("queries: got dim " + std::to_string(queries.cols) +
                                    ", expected " + std::to_string(store.spec.dim));
    }
    for (std::size_t i = 0; i < queries.rows; ++i) {
        if (!all_finite(queries.row(i), queries.cols)) {
            throw std::invalid_argument("query " + std::to_string(i) +
                                        " holds NaN or infinity; expected finite values");
        }
    }
}

RowFilter filter_of(const RowStore& store, Mask mask) {
    if (mask.size() != store.live_count()) {
        throw std::invalid_argument(
            "filter: got a mask of " + std::to_string(mask.size()) +
            " entries, expected one per row: " + std::to_string(store.live_count()));
    }
    if (store.lists == nullptr && store.dead == 0) return RowFilter(mask);
    RowFilter filter(store.count);
    std::size_t next = 0;
    if (store.lists != nullptr) {
        for (const Id row : store.live_rows()) {
            if (mask[next++] != 0) filter.set(row);
        }
        return filter;
    }
    for (std::size_t row = 0; row < store.count; ++row) {
        if (!store.is_live(static_cast<Id>(row))) continue;
        if (mask[next++] != 0) filter.set(row);
    }
    return filter;
}

Index::Index(RowStore store) : store_(std::make_shared<RowStore>(std::move(store))) {}

std::shared_ptr<const RowStore> Index::snapshot() const {
    const std::lock_guard lock(publish_mutex_);
    return store_;
}

std::shared_ptr<const TuningTable> Index::tuning() const {
    const std::lock_guard lock(publish_mutex_);
    return tuning_;
}

void Index::add_tuning(std::vector<TunedSetting> settings) {
    auto table = std::make_shared<const TuningTable>(std::move(settings), most_probes());
    const auto lock = write_lock();
    if (const auto old = tuning()) {
        table = std::make_shared<const TuningTable>(table->merged_with(*old), most_probes());
    }
    const std::lock_guard publishing(publish_mutex_);
    tuning_.swap(table);
}

void Index::restore_tuning(const io::Archive& archive) {
    if (archive.find(io::SectionType::kTuning) == nullptr) return;
    try {
        add_tuning(read_tuning(archive));
    } catch (const std::invalid_argument& error) {
        corrupt(archive, "tuning", error.what());
    }
}

std::size_t Index::bytes() const {
    std::size_t mixed = 0;
    {
        const std::lock_guard lock(mixtures_mutex_);
        for (const Mixture& mixture : mixtures_) mixed += mixture.rows->bytes();
    }
    const std::lock_guard lock(write_mutex_);
    return snapshot()->bytes() + label_map_.bytes() + mixed;
}

void Index::publish(RowStore store) {
    auto next = std::make_shared<const RowStore>(std::move(store));
    {
        const std::lock_guard lock(publish_mutex_);
        store_.swap(next);
    }
    std::vector<Mixture> past;  // of rows that are no longer asked for
    const std::lock_guard lock(mixtures_mutex_);
    past.swap(mixtures_);
}

void Index::check_new_labels(std::span<const std::int64_t> labels, bool replace) const {
    const RowStore& store = *store_;
    std::unordered_set<std::int64_t> seen;
    seen.reserve(labels.size());
    for (const std::int64_t label : labels) {
        if (seen.size() % 1024 == 0) checkpoint();
        if (label == kMissing) {
            throw std::invalid_argument("ids: the smallest int64 is reserved for missing results");
        }
        if (!seen.insert(label).second) {
            throw std::invalid_argument("ids: " + std::to_string(label) +
                                        " occurs twice in this call; expected unique ids");
        }
        if (!replace && row_of(store, label).has_value()) {
            throw std::invalid_argument("ids: " + std::to_string(label) +
                                        " is already in the index; pass on_duplicate=\"replace\" "
                                        "to replace it, or choose another id");
        }
    }
}

void Index::check_rows(const RowsView& rows) const {
    const CodeSpec& spec = snapshot()->spec;
    if (rows.cols == spec.dim && rows.dtype == spec.dtype) return;
    throw std::invalid_argument("rows: got dim " + std::to_string(rows.cols) + ", expected " +
                                std::to_string(spec.dim) + " and the storage type of the index");
}

bool Index::is_trained() const {
    const auto store = snapshot();
    return store->coding == nullptr || store->coding->is_trained();
}

void Index::train(const RowsView& rows, int threads) {
    check_rows(rows);
    const std::lock_guard lock(write_mutex_);
    if (is_trained()) return;
    RowStore next = *snapshot();
    next.coding = train_coding(*next.coding, rows, next.spec.metric, 0, {}, threads);
    publish(std::move(next));
}

void Index::append(RowStore& store, const RowsView& rows, const std::int64_t* labels,
                   std::span<const Id> places, int threads) {
    if (!places.empty()) {
        throw std::invalid_argument("places: got the lists of rows for an index without lists");
    }
    if (store.coding != nullptr && !store.coding->is_trained()) {
        store.coding = train_coding(*store.coding, rows, store.spec.metric, 0, {}, threads);
    }
    store.append(rows, labels, {}, threads);
}

RowStore Index::compacted(const RowStore& store, int threads) const {
    return store.taken(store.live != nullptr ? store.live->ids() : store.live_rows(), threads);
}

std::size_t Index::most_dead(std::size_t rows) const noexcept {
    return std::max(kMinDead, rows / 4);
}

void Index::drop_dead(RowStore& store, int threads) const {
    if (store.dead > most_dead(store.count)) store = compacted(store, threads);
}

void Index::add(const RowsView& rows, const std::int64_t* labels, bool replace, int threads,
                std::span<const Id> places) {
    const std::lock_guard lock(write_mutex_);
    RowStore next = *snapshot();
    check_rows(rows);
    if (rows.rows == 0) return;
    std::vector<std::int64_t> names;
    if (labels != nullptr) {
        names.assign(labels, labels + rows.rows);
    } else {
        names.resize(rows.rows);
        for (std::size_t i = 0; i < names.size(); ++i) {
            names[i] = next.next_label + static_cast<std::int64_t>(i);
        }
    }
    // Row numbers of an index that never saw other labels are new by construction.
    const bool fresh = labels == nullptr && next.default_labels;
    if (!fresh) check_new_labels(names, replace);
    std::vector<Id> replaced;
    if (!fresh && replace) {
        for (const std::int64_t label : names) {
            if (const auto row = row_of(next, label)) replaced.push_back(*row);
        }
        // Before the rows are added: that may move them.
        if (!replaced.empty()) next.mark_dead(replaced);
    }
    append(next, rows, labels, places, threads);
    drop_dead(next, threads);
    publish(std::move(next));
}

std::size_t Index::remove(std::span<const std::int64_t> labels) {
    const std::lock_guard lock(write_mutex_);
    RowStore next = *snapshot();
    std::unordered_set<Id> rows;
    for (const std::int64_t label : labels) {
        if (const auto row = row_of(next, label)) rows.insert(*row);
    }
    if (rows.empty()) return 0;
    next.mark_dead(std::vector<Id>(rows.begin(), rows.end()));
    drop_dead(next, 0);
    publish(std::move(next));
    return rows.size();
}

void Index::search(MatrixView<float> queries, std::size_t k, const SearchOptions& options,
                   const TopKOut& out) const {
    ask(queries, options,
        [&](const RowStore& store, const RowFilter* filter, MatrixView<float> asked,
            const SearchOptions& now) { search_store(store, filter, asked, k, now, out); });
}

std::vector<RangeHits> Index::range_search(MatrixView<float> queries, double threshold,
                                           const SearchOptions& options) const {
    if (!std::isfinite(threshold)) {
        throw std::invalid_argument("threshold: got NaN or infinity, expected a finite number");
    }
    std::vector<RangeHits> out;
    ask(queries, options,
        [&](const RowStore& store, const RowFilter* filter, MatrixView<float> asked,
            const SearchOptions& now) {
            out = range_search_store(store, filter, asked, threshold, now);
        });
    return out;
}

template <class Search>
void Index::ask(MatrixView<float> queries, const SearchOptions& options, Search&& search) const {
    const auto store = snapshot();
    check_queries(*store, queries);
    std::optional<RowFilter> filter;
    if (options.mask.has_value()) filter.emplace(filter_of(*store, *options.mask));
    const RowFilter* const allowed = filter ? &*filter : nullptr;
    const auto adapter = adapter_of(store, options.corpus_adapters, options.threads);
    if (adapter == nullptr) return search(*store, allowed, queries, options);
    const FoldedRows asked = adapter->map->fold(queries, options.threads);
    SearchOptions now = options;
    now.adapter = adapter.get();
    search(*store, allowed, asked.view(), now);
}

void Index::reconstruct(std::span<const std::int64_t> labels, std::span<const AdapterShare> shares,
                        float* out) const {
    std::vector<Id> rows;
    std::shared_ptr<const RowStore> store;
    {
        const std::lock_guard lock(write_mutex_);
        store = snapshot();
        rows.reserve(labels.size());
        for (const std::int64_t label : labels) {
            const auto row = row_of(*store, label);
            if (!row) {
                throw std::out_of_range("ids: " + std::to_string(label) + " is not in the index");
            }
            rows.push_back(*row);
        }
    }
    const auto map = map_of(*store, shares);
    const RowsView view = store->view(nullptr).rows;
    std::vector<float> plain(view.cols);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        float* const to = map != nullptr ? plain.data() : out + i * view.cols;
        if (store->coding != nullptr && !store->coding->keeps_rows) {
            store->decode_row(rows[i], to);
        } else {
            widen(view.dtype, view.row(rows[i]), to, view.cols);
        }
        if (map != nullptr) map->apply(plain.data(), out + i * view.cols);
    }
}

std::vector<std::int64_t> Index::labels() const {
    const auto store = snapshot();
    return store->labels_of(store->live_rows());
}

std::vector<bool> Index::contains(std::span<const std::int64_t> labels) const {
    const std::lock_guard lock(write_mutex_);
    const auto store = snapshot();
    std::vector<bool> out;
    out.reserve(labels.size());
    for (const std::int64_t label : labels) out.push_back(row_of(*store, label).has_value());
    return out;
}

}  // namespace nearfield
