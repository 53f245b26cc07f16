// RowStore: the rows of an index, their codes and labels, as one immutable snapshot.
//
// Every change makes a new store that shares all memory with the old one; searches keep the store they
// started with. Removed rows stay in place, marked dead, until a quarter of the rows is dead; then the
// next store is compacted.
// Rows lie in the order in which they came, or in the order of inverted lists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/view.h"
#include "index/column.h"
#include "index/lists.h"
#include "index/row_coding.h"
#include "index/search.h"
#include "index/sign_rows.h"
#include "quant/raw/codes.h"
#include "select/filter.h"

namespace nearfield {

struct Graph;
struct RowAdapter;

/// Where rows go that lie by lists; null: as they come.
struct Placement {
    const Id* order = nullptr;    // the i-th row stored is the order[i]-th of those that come
    const Id* list_of = nullptr;  // of the rows as they come
};

/// How rows are searched under a name; see row_adapter.h.
struct NamedAdapter {
    std::string name;
    std::shared_ptr<const RowAdapter> rows;
};

struct RowStore {
    CodeSpec spec;
    std::size_t count = 0;  // rows present, dead ones included
    std::size_t dead = 0;
    std::int64_t next_label = 0;          // what the next row is called by default
    bool default_labels = true;           // every row is called by its arrival number
    std::optional<ScanKind> wanted_kind;  // instead of a choice by calibration
    double max_norm = 0.0;
    bool norms_fit = true;  // fits_in_place() of every row

    Column rows;   // empty where they are coded and not kept
    Column codes;  // empty where rows are their own codes
    Column scale;
    Column spread;  // bfloat16 scans only
    Column bias;    // l2 only
    Column norms;   // cosine only
    Column labels;  // empty while default_labels
    Column
        arrival;  // by lists: as how many-th each row came, from 0; else empty, it is the row number
    Column packed;  // complete blocks of codes, where a fast scan can read them
    std::size_t packed_rows = 0;
    SignRows signs;  // where coding->by_signs(), with what they are about
    std::shared_ptr<const SignCoding> sign_coding;
    Column list_of;                           // where codes are about the centroids of lists
    std::shared_ptr<const RowCoding> coding;  // null: codes are of the elements themselves
    std::shared_ptr<const Lists> lists;       // null: rows lie as they came
    std::shared_ptr<const Graph> graph;       // links between rows, in an index that has them
    std::uint64_t layout = 0;                 // another number whenever rows have changed places
    std::uint64_t encoding = 0;               // likewise, all rows have been encoded anew
    std::vector<NamedAdapter> adapters;       // of all rows, once Index has described them
    std::shared_ptr<const std::vector<BlockError>> errors;
    std::shared_ptr<const RowFilter> live;  // null while nothing is dead

    /// kind: how to scan float rows; without one, calibration decides.
    RowStore(std::size_t dim, Metric metric, DType dtype,
             std::optional<ScanKind> kind = std::nullopt);

    std::size_t live_count() const noexcept { return count - dead; }
    bool is_live(Id row) const noexcept { return live == nullptr || live->test(row); }
    bool labels_are_rows() const noexcept { return default_labels && lists == nullptr; }
    std::int64_t label(Id row) const noexcept {
        if (!default_labels) return labels.as<std::int64_t>()[row];
        return static_cast<std::int64_t>(lists != nullptr ? arrival.as<Id>()[row] : row);
    }
    /// A coded row as it was, but for what its code has lost.
    void decode_row(Id row, float* out) const;
    /// The live rows in the order in which they came.
    std::vector<Id> live_rows() const;
    std::vector<std::int64_t> labels_of(const std::vector<Id>& some) const;
    /// Where each of some live rows stands among live_rows().
    std::vector<Id> places_of(const std::vector<Id>& some) const;
    /// Bytes between rows: bfloat16 rows are padded with zeros to whole tiles, integer rows likewise.
    std::size_t row_stride() const noexcept;
    /// Rows lie in memory as they do in files and NumPy arrays.
    bool rows_are_dense() const noexcept;
    std::size_t bytes() const noexcept;

    /// What search_rows takes; `filter` null means every live row. adapter: of all rows of this store, for
    /// folded queries; null: rows as they are.
    StoredRows view(const RowFilter* filter, const RowAdapter* adapter = nullptr) const noexcept;

    /// Appends rows; int8 rows come as plain int8 and are stored excess-128. `row_labels` null: the
    /// next row numbers. Throws std::invalid_argument naming the first row that is not finite.
    void append(const RowsView& rows_in, const std::int64_t* row_labels, const Placement& place,
                int threads);

    /// Works on `rows_in` in place (it must outlive the store), unless integer rows or the padding of
    /// bfloat16 rows ask for a copy.
    static RowStore borrow(const RowsView& rows_in, Metric metric, int threads,
                           std::optional<ScanKind> kind = std::nullopt);

    /// A store over rows as files hold them, dense, called by their numbers. They stay in `dense` (a
    /// mapped file, for one) or are copied, as in borrow().
    static RowStore restore(std::size_t dim, Metric metric, DType dtype, std::size_t n,
                            Buffer dense);

    /// A store of `n` coded rows as files hold them; `dense` is empty unless rows are kept, list_of unless
    /// codes are about centroids. std::invalid_argument where a code stands for no finite row.
    static RowStore restore_coded(std::size_t dim, Metric metric, DType dtype,
                                  std::shared_ptr<const RowCoding> coding, std::size_t n,
                                  Buffer dense, Buffer codes, Column list_of);

    /// Calls every row by another label (null: its arrival number), the next one `next`.
    void name_rows(const std::int64_t* row_labels, std::int64_t next);

    void mark_dead(std::span<const Id> dead_rows);

    /// A store of these rows alone, all different, in this order; without lists yet.
    RowStore taken(std::span<const Id> keep, int threads) const;

private:
    /// Turns a view into one of rows as a map has them.
    void adapt(StoredRows& v, const RowAdapter& adapter) const noexcept;
    void copy_rows(const RowsView& rows_in, const Id* order, int threads);
    /// Codes of rows that come, by the store's quantizer.
    void encode_coded(const RowsView& rows_in, const Placement& place, int threads);
    /// Throws for the first row, as they come, that the quantizer does not take.
    void name_uncoded(const RowsView& rows_in, const Placement& place) const;
    /// What searches need of coded rows [first, count) beside their codes; false where one is not finite.
    bool derive_coded(std::size_t first, int threads);
    void pack_codes();
    void derive_signs(std::size_t first, int threads);
    DecodedRows decoded() const noexcept;
    /// Codes and constants of rows [first, count). Throws for the first row that is not finite, counted
    /// from `known`, the rows that were there before.
    void encode(std::size_t first, int threads, std::size_t known);
    /// Chooses unit and kind, then encodes every row.
    void encode_all(int threads, std::size_t known = 0);
    /// Unit and kind suit all rows that have been encoded.
    bool is_settled() const noexcept;
    void append_labels(const std::int64_t* row_labels, const Id* order, std::size_t n);
};

}  // namespace nearfield
