// FlatIndex: exact search over stored rows, safe from any number of threads.
//
// Readers take the current FlatStore (one short lock) and work on it; writers are serialised, build
// the next store and publish it whole. A call that throws publishes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "index/flat/store.h"
#include "index/labels.h"

namespace nearfield {

/// Which live rows may answer: one byte per live row in order, zero for no.
using Mask = std::span<const std::uint8_t>;

class FlatIndex {
public:
    /// Throws std::invalid_argument unless 1 <= dim <= 65536.
    FlatIndex(std::size_t dim, Metric metric, DType dtype);
    explicit FlatIndex(FlatStore store);

    /// labels null: row numbers. Duplicate labels throw unless replace, which drops the old rows.
    void add(const RowsView& rows, const std::int64_t* labels, bool replace, int threads);

    /// Labels that are not present are counted out.
    std::size_t remove(std::span<const std::int64_t> labels);

    void search(MatrixView<float> queries, std::size_t k, std::optional<Mask> mask, int threads,
                const TopKOut& out) const;
    std::vector<RangeHits> range_search(MatrixView<float> queries, double threshold,
                                        std::optional<Mask> mask, int threads) const;

    /// Writes labels.size() rows of dim floats; std::out_of_range names an unknown label.
    void reconstruct(std::span<const std::int64_t> labels, float* out) const;

    std::vector<std::int64_t> labels() const;
    std::vector<bool> contains(std::span<const std::int64_t> labels) const;

    void save(const std::string& path, bool durable) const;
    static std::unique_ptr<FlatIndex> load(const std::string& path, bool mmap, bool verify);

    std::size_t size() const { return snapshot()->live_count(); }
    std::shared_ptr<const FlatStore> snapshot() const;

private:
    void check_new_labels(std::span<const std::int64_t> labels, bool replace) const;
    /// Makes `store` the current one and brings the label map along; all or nothing.
    void publish(FlatStore store, const std::function<void()>& update_labels);
    void rebuild_label_map(const FlatStore& store);

    mutable std::mutex write_mutex_;  // one writer; also guards label_map_
    mutable std::mutex publish_mutex_;
    std::shared_ptr<const FlatStore> store_;
    LabelMap label_map_;
};

/// Exact search over rows that belong to somebody else; nothing is kept.
void topk_once(const RowsView& rows, Metric metric, MatrixView<float> queries, std::size_t k,
               std::optional<Mask> mask, bool exclude_self, int threads, const TopKOut& out);

}  // namespace nearfield
