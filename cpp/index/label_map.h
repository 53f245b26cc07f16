// LabelMap: from a user's label to its row, derived from a RowStore and brought up to date when asked.
//
// An open-addressing table of row numbers; the labels themselves stay in the store, and so does which
// rows are dead. Stores that call rows by their numbers need no table at all.
// Memory: 6 to 16 bytes a row once something was looked up by label. Cost: one probe a look-up; the
// first after an add hashes the rows added, the first after a compaction all rows.
// Source: own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "index/row_store.h"

namespace nearfield {

class LabelMap {
public:
    /// The live row of this label. `store` is the one of the last call, or a successor.
    std::optional<Id> find(const RowStore& store, std::int64_t label);

    std::size_t bytes() const noexcept { return slots_.size() * sizeof(Id); }

private:
    static constexpr Id kEmpty = UINT32_MAX;

    std::size_t home(std::int64_t label) const noexcept;
    void follow(const RowStore& store);
    void insert(const RowStore& store, Id row) noexcept;

    std::vector<Id> slots_;  // a power of two of them, or none
    std::size_t rows_ = 0;   // the first rows of the store are in the table
    std::uint64_t layout_ = 0;
};

}  // namespace nearfield
