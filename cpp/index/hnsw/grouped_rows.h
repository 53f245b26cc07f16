// GroupedRows: some rows as bytes, near ones side by side, and the lists that they form.
// Memory: that of ByteRows and Partition.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/hnsw/byte_rows.h"
#include "index/hnsw/partition.h"
#include "index/hnsw/row_reader.h"

namespace nearfield {

/// About so many rows are a list.
inline constexpr std::size_t kListRows = 100;

struct GroupedRows {
    std::vector<Id> numbers;  // which one of those that these were taken from each is
    Partition lists;          // centres as rows are
    ByteRows rows;

    std::size_t count() const noexcept { return numbers.size(); }
};

/// which: rows of the reader, in any order; numbers count them. Under by_distance `centre` is subtracted from
/// all of them, which leaves distances as they are.
GroupedRows group_rows(const RowReader& reader, std::span<const Id> which,
                       std::span<const float> centre, bool by_distance, std::uint64_t seed,
                       int threads);

/// Those with these numbers, ascending, in lists of at least `least` rows if there are so many, put together from
/// lists that lie side by side.
GroupedRows part_of(const GroupedRows& from, std::vector<Id> numbers, std::size_t least);

}  // namespace nearfield
