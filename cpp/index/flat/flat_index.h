// FlatIndex: exact search over stored rows.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "index/index.h"
#include "io/archive.h"

namespace nearfield {

class FlatIndex final : public Index {
public:
    /// Throws std::invalid_argument unless 1 <= dim <= 65536.
    /// coding: null for rows that are found by their own elements.
    FlatIndex(std::size_t dim, Metric metric, DType dtype,
              std::shared_ptr<const RowCoding> coding = nullptr);
    explicit FlatIndex(RowStore store) : Index(std::move(store)) {}

    const char* kind() const noexcept override { return "flat"; }
    void save(const std::string& path, bool durable) const override;
    static std::unique_ptr<FlatIndex> load(const io::Archive& archive);

private:
    void search_store(const RowStore& store, const RowFilter* filter, MatrixView<float> queries,
                      std::size_t k, const SearchOptions& options,
                      const TopKOut& out) const override;
    std::vector<RangeHits> range_search_store(const RowStore& store, const RowFilter* filter,
                                              MatrixView<float> queries, double threshold,
                                              const SearchOptions& options) const override;
};

/// Exact search over rows that belong to somebody else; nothing is kept.
void topk_once(const RowsView& rows, Metric metric, MatrixView<float> queries, std::size_t k,
               std::optional<Mask> mask, bool exclude_self, int threads, const TopKOut& out);

}  // namespace nearfield
