// RowFilter: which rows may answer, one bit a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"

namespace nearfield {

class RowFilter {
public:
    RowFilter() = default;
    /// All rows clear.
    explicit RowFilter(std::size_t rows) : rows_(rows), words_((rows + 63) / 64) {}
    /// Rows are set where bytes are not zero.
    explicit RowFilter(std::span<const std::uint8_t> bytes);

    void set(std::size_t row) { words_[row / 64] |= std::uint64_t{1} << (row % 64); }
    void clear(std::size_t row) { words_[row / 64] &= ~(std::uint64_t{1} << (row % 64)); }
    bool test(std::size_t row) const noexcept {
        return ((words_[row / 64] >> (row % 64)) & 1u) != 0;
    }
    /// Rows past the old size are clear.
    void resize(std::size_t rows) {
        rows_ = rows;
        words_.resize((rows + 63) / 64);
    }

    std::size_t size() const noexcept { return rows_; }
    std::size_t count() const noexcept;
    /// The rows that are set, ascending.
    std::vector<Id> ids() const;
    /// Writes those of [begin, end), begin a multiple of 64 or equal to end; their number.
    std::size_t write_ids(std::size_t begin, std::size_t end, Id* ids) const noexcept;
    const std::vector<std::uint64_t>& words() const noexcept { return words_; }

private:
    std::size_t rows_ = 0;
    std::vector<std::uint64_t> words_;
};

}  // namespace nearfield
