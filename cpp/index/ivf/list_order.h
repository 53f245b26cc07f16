// ListOrder: the live rows of a store list by list, for whoever copies them elsewhere.
//
// Cost: 4 bytes a row; rows are copied where they are asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "index/row_store.h"

namespace nearfield {

/// Live rows list by list, and how many each list has.
std::vector<Id> rows_by_list(const RowStore& store, std::vector<std::uint32_t>& counts);

class ListOrder {
public:
    /// Of a store with lists, which it keeps.
    explicit ListOrder(std::shared_ptr<const RowStore> store);

    /// One of `parts` equal parts of every list, which together hold each row once.
    ListOrder part(std::size_t part, std::size_t parts) const;

    std::size_t size() const noexcept { return rows_.size(); }
    const std::vector<std::uint32_t>& sizes() const noexcept { return sizes_; }
    /// Bytes of a row.
    std::size_t row_bytes() const noexcept {
        return store_->spec.dim * size_of(store_->spec.dtype);
    }

    std::vector<std::int64_t> labels() const;
    /// As how many-th of the live rows each came, from 0: its place in masks.
    std::vector<Id> places() const;
    /// Writes rows [first, first + count) as they are stored (int8 as the value + 128), `stride` bytes apart,
    /// zeros behind each. std::invalid_argument where rows are not kept or there are not so many.
    void copy_rows(std::size_t first, std::size_t count, std::size_t stride,
                   std::uint8_t* out) const;

    /// How rows are coded; std::invalid_argument where they are not.
    const RowCoding& coding() const;
    /// Writes the codes of rows [first, first + count), one behind the other. std::invalid_argument where there
    /// are not so many.
    void copy_codes(std::size_t first, std::size_t count, std::uint8_t* out) const;

private:
    void check_there(std::size_t first, std::size_t count) const;

    std::shared_ptr<const RowStore> store_;
    std::vector<std::uint32_t> sizes_;
    std::vector<Id> rows_;
};

}  // namespace nearfield
