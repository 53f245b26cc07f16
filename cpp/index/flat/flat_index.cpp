#include "index/flat/flat_index.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <unordered_set>

#include "base/interrupt.h"
#include "base/parallel.h"

namespace nearfield {
namespace {

/// Sums of byte products stay within 32 bits.
constexpr std::size_t kMaxDim = 65536;
/// Dead rows a store carries before it is compacted.
constexpr std::size_t kMinDead = 1024;

void check_dim(std::size_t dim) {
    if (dim == 0 || dim > kMaxDim) {
        throw std::invalid_argument("dim: got " + std::to_string(dim) + ", expected 1 to " +
                                    std::to_string(kMaxDim));
    }
}

/// The rows a search may return: mask bytes count live rows.
RowFilter expand(const FlatStore& store, Mask mask) {
    if (mask.size() != store.live_count()) {
        throw std::invalid_argument(
            "filter: got a mask of " + std::to_string(mask.size()) +
            " entries, expected one per row: " + std::to_string(store.live_count()));
    }
    RowFilter filter(store.count);
    std::size_t next = 0;
    for (std::size_t row = 0; row < store.count; ++row) {
        if (!store.is_live(static_cast<Id>(row))) continue;
        if (mask[next++] != 0) filter.set(row);
    }
    return filter;
}

void check_finite(MatrixView<float> queries) {
    for (std::size_t i = 0; i < queries.rows; ++i) {
        if (!all_finite(queries.row(i), queries.cols)) {
            throw std::invalid_argument("query " + std::to_string(i) +
                                        " holds NaN or infinity; expected finite values");
        }
    }
}

void check_query_shape(const FlatStore& store, MatrixView<float> queries) {
    if (queries.cols != store.spec.dim) {
        throw std::invalid_argument("queries: got dim " + std::to_string(queries.cols) +
                                    ", expected " + std::to_string(store.spec.dim));
    }
}

void run_search(const FlatStore& store, MatrixView<float> queries, std::size_t k,
                std::optional<Mask> mask, bool exclude_self, int threads, const TopKOut& out) {
    check_query_shape(store, queries);
    check_finite(queries);
    if (!mask.has_value()) {
        flat_search(store.view(nullptr), queries, k, exclude_self, threads, out);
        return;
    }
    const RowFilter filter = expand(store, *mask);
    flat_search(store.view(&filter), queries, k, exclude_self, threads, out);
}

}  // namespace

FlatIndex::FlatIndex(std::size_t dim, Metric metric, DType dtype) {
    check_dim(dim);
    store_ = std::make_shared<FlatStore>(dim, metric, dtype);
}

FlatIndex::FlatIndex(FlatStore store) : store_(std::make_shared<FlatStore>(std::move(store))) {
    rebuild_label_map(*store_);
}

std::shared_ptr<const FlatStore> FlatIndex::snapshot() const {
    const std::lock_guard lock(publish_mutex_);
    return store_;
}

void FlatIndex::publish(FlatStore store, const std::function<void()>& update_labels) {
    auto next = std::make_shared<const FlatStore>(std::move(store));
    const auto swap = [&] {
        const std::lock_guard lock(publish_mutex_);
        store_.swap(next);
    };
    swap();
    try {
        update_labels();
    } catch (...) {
        swap();  // back to the old store
        rebuild_label_map(*store_);
        throw;
    }
}

void FlatIndex::rebuild_label_map(const FlatStore& store) {
    label_map_.reset();
    if (store.default_labels) {
        label_map_.reset_to_rows(store.count);
        if (store.dead == 0) return;
        for (std::size_t row = 0; row < store.count; ++row) {
            if (!store.is_live(static_cast<Id>(row))) {
                label_map_.erase(static_cast<std::int64_t>(row));
            }
        }
        return;
    }
    for (std::size_t row = 0; row < store.count; ++row) {
        const auto id = static_cast<Id>(row);
        if (store.is_live(id)) label_map_.insert(store.label(id), id);
    }
}

void FlatIndex::check_new_labels(std::span<const std::int64_t> labels, bool replace) const {
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
        if (!replace && label_map_.find(label).has_value()) {
            throw std::invalid_argument("ids: " + std::to_string(label) +
                                        " is already in the index; pass on_duplicate=\"replace\" "
                                        "to replace it, or choose another id");
        }
    }
}

void FlatIndex::add(const RowsView& rows, const std::int64_t* labels, bool replace, int threads) {
    const std::lock_guard lock(write_mutex_);
    const FlatStore current = *snapshot();
    if (rows.cols != current.spec.dim || rows.dtype != current.spec.dtype) {
        throw std::invalid_argument("rows: got dim " + std::to_string(rows.cols) + ", expected " +
                                    std::to_string(current.spec.dim) +
                                    " and the storage type of the index");
    }
    if (rows.rows == 0) return;
    std::vector<std::int64_t> names;
    if (labels != nullptr) {
        names.assign(labels, labels + rows.rows);
    } else {
        names.resize(rows.rows);
        for (std::size_t i = 0; i < names.size(); ++i) {
            names[i] = current.next_label + static_cast<std::int64_t>(i);
        }
    }
    // Row numbers of an index that never saw other labels are new by construction.
    const bool fresh = labels == nullptr && current.default_labels;
    if (!fresh) check_new_labels(names, replace);

    FlatStore next = current;
    next.append(rows, labels, threads);
    std::vector<Id> replaced;
    if (!fresh && replace) {
        for (const std::int64_t label : names) {
            if (const auto row = label_map_.find(label)) replaced.push_back(*row);
        }
        if (!replaced.empty()) next.mark_dead(replaced);
    }
    publish(std::move(next), [&] {
        for (const std::int64_t name : names) {
            if (!replaced.empty() && label_map_.find(name).has_value()) label_map_.erase(name);
        }
        for (std::size_t i = 0; i < names.size(); ++i) {
            label_map_.insert(names[i], static_cast<Id>(current.count + i));
        }
    });
}

std::size_t FlatIndex::remove(std::span<const std::int64_t> labels) {
    const std::lock_guard lock(write_mutex_);
    const FlatStore current = *snapshot();
    std::unordered_set<Id> rows;
    for (const std::int64_t label : labels) {
        if (const auto row = label_map_.find(label)) rows.insert(*row);
    }
    if (rows.empty()) return 0;
    FlatStore next = current;
    next.mark_dead(std::vector<Id>(rows.begin(), rows.end()));
    const bool compact = next.dead > std::max(kMinDead, next.count / 4);
    if (compact) next = next.compacted(0);
    publish(std::move(next), [&] {
        if (compact) {
            rebuild_label_map(*store_);
            return;
        }
        for (const std::int64_t label : labels) {
            if (label_map_.find(label).has_value()) label_map_.erase(label);
        }
    });
    return rows.size();
}

void FlatIndex::search(MatrixView<float> queries, std::size_t k, std::optional<Mask> mask,
                       int threads, const TopKOut& out) const {
    const auto store = snapshot();
    run_search(*store, queries, k, mask, false, threads, out);
}

std::vector<RangeHits> FlatIndex::range_search(MatrixView<float> queries, double threshold,
                                               std::optional<Mask> mask, int threads) const {
    const auto store = snapshot();
    check_query_shape(*store, queries);
    check_finite(queries);
    if (!std::isfinite(threshold)) {
        throw std::invalid_argument("threshold: got NaN or infinity, expected a finite number");
    }
    if (!mask.has_value()) {
        return flat_range_search(store->view(nullptr), queries, threshold, threads);
    }
    const RowFilter filter = expand(*store, *mask);
    return flat_range_search(store->view(&filter), queries, threshold, threads);
}

void FlatIndex::reconstruct(std::span<const std::int64_t> labels, float* out) const {
    std::vector<Id> rows;
    std::shared_ptr<const FlatStore> store;
    {
        const std::lock_guard lock(write_mutex_);
        store = snapshot();
        rows.reserve(labels.size());
        for (const std::int64_t label : labels) {
            const auto row = label_map_.find(label);
            if (!row) {
                throw std::out_of_range("ids: " + std::to_string(label) + " is not in the index");
            }
            rows.push_back(*row);
        }
    }
    const RowsView view = store->view(nullptr).rows;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        widen(view.dtype, view.row(rows[i]), out + i * view.cols, view.cols);
    }
}

std::vector<std::int64_t> FlatIndex::labels() const {
    const auto store = snapshot();
    std::vector<std::int64_t> out;
    out.reserve(store->live_count());
    for (std::size_t row = 0; row < store->count; ++row) {
        const auto id = static_cast<Id>(row);
        if (store->is_live(id)) out.push_back(store->label(id));
    }
    return out;
}

std::vector<bool> FlatIndex::contains(std::span<const std::int64_t> labels) const {
    const std::lock_guard lock(write_mutex_);
    std::vector<bool> out;
    out.reserve(labels.size());
    for (const std::int64_t label : labels) out.push_back(label_map_.find(label).has_value());
    return out;
}

void topk_once(const RowsView& rows, Metric metric, MatrixView<float> queries, std::size_t k,
               std::optional<Mask> mask, bool exclude_self, int threads, const TopKOut& out) {
    check_dim(rows.cols);
    const FlatStore store = FlatStore::borrow(rows, metric, threads);
    run_search(store, queries, k, mask, exclude_self, threads, out);
}

}  // namespace nearfield
