// FlatStore: the rows of a flat index, their codes and labels, as one immutable snapshot.
//
// Every change makes a new store that shares all memory with the old one; searches keep the store they
// started with. Removed rows stay in place, marked dead, until a quarter of the rows is dead; then the
// next store is compacted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/view.h"
#include "index/column.h"
#include "index/flat/search.h"
#include "quant/raw/codes.h"
#include "select/filter.h"

namespace nearfield {

struct FlatStore {
    CodeSpec spec;
    std::size_t count = 0;  // rows present, dead ones included
    std::size_t dead = 0;
    std::int64_t next_label = 0;          // what the next row is called by default
    bool default_labels = true;           // label == row for every row
    std::optional<ScanKind> wanted_kind;  // instead of a choice by calibration
    double max_norm = 0.0;
    bool norms_fit = true;  // fits_in_place() of every row

    Column rows;
    Column codes;  // empty where rows are their own codes
    Column scale;
    Column spread;  // bfloat16 scans only
    Column bias;    // l2 only
    Column norms;   // cosine only
    Column labels;  // empty while default_labels
    std::shared_ptr<const std::vector<BlockError>> errors;
    std::shared_ptr<const RowFilter> live;  // null while nothing is dead

    /// kind: how to scan float rows; without one, calibration decides.
    FlatStore(std::size_t dim, Metric metric, DType dtype,
              std::optional<ScanKind> kind = std::nullopt);

    std::size_t live_count() const noexcept { return count - dead; }
    bool is_live(Id row) const noexcept { return live == nullptr || live->test(row); }
    std::int64_t label(Id row) const noexcept {
        return default_labels ? static_cast<std::int64_t>(row) : labels.as<std::int64_t>()[row];
    }
    /// Bytes between rows: bfloat16 rows are padded with zeros to whole tiles, integer rows likewise.
    std::size_t row_stride() const noexcept;
    /// Rows lie in memory as they do in files and NumPy arrays.
    bool rows_are_dense() const noexcept;
    std::size_t bytes() const noexcept;

    /// What flat_search takes; `filter` null means every live row.
    FlatRows view(const RowFilter* filter) const noexcept;

    /// Appends rows; int8 rows come as plain int8 and are stored excess-128. `row_labels` null: the
    /// next row numbers. Throws std::invalid_argument naming the first row that is not finite.
    void append(const RowsView& rows_in, const std::int64_t* row_labels, int threads);

    /// Works on `rows_in` in place (it must outlive the store), unless integer rows or the padding of
    /// bfloat16 rows ask for a copy.
    static FlatStore borrow(const RowsView& rows_in, Metric metric, int threads);

    /// A store over rows as files hold them, dense; labels null means row numbers. Rows stay in `dense`
    /// (a mapped file, for one) or are copied, as in borrow().
    static FlatStore restore(std::size_t dim, Metric metric, DType dtype, std::size_t n,
                             Buffer dense, const std::int64_t* row_labels, std::int64_t next);

    void mark_dead(std::span<const Id> dead_rows);

    /// A store of the live rows alone, in order.
    FlatStore compacted(int threads) const;

private:
    void copy_rows(const RowsView& rows_in, int threads);
    /// Codes and constants of rows [first, count).
    void encode(std::size_t first, int threads);
    /// Chooses unit and kind, then encodes every row.
    void encode_all(int threads);
    /// Unit and kind suit all rows that have been encoded.
    bool is_settled() const noexcept;
    void append_labels(const std::int64_t* row_labels, std::size_t n);
};

}  // namespace nearfield
