// partition: rows in lists of near ones, and the order in which these lists lie.
//
// Centres come from a few iterations of k-means over a sample, and a row goes to the list of its nearest one.
// Lists that come out too large are cut again in the same way, those of equal rows at last anywhere. Lists
// of near centres lie side by side. The same for any number of threads.
// Cost: rows * lists byte products. Memory: 4 * dim bytes for each of 2^15 rows at a time.
// Source: own; "PiPNN" (2026) cuts by random rows instead, and several times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"
#include "index/hnsw/row_reader.h"

namespace nearfield {

struct Partition {
    std::vector<Id> order;           // which of the rows, list by list
    std::vector<std::size_t> begin;  // of each list in `order`, and the end
    std::vector<float> centres;      // dim floats a list

    std::size_t lists() const noexcept { return begin.size() - 1; }
    std::size_t size(std::size_t list) const noexcept { return begin[list + 1] - begin[list]; }
};

/// Lists of about `target` rows, at most `most` (a few times as many).
struct ListSizes {
    std::size_t target;
    std::size_t most;
};

/// which: rows of the reader; order counts from its start. by_distance: by distance to the centres, else by the
/// inner product with centres of unit length.
Partition partition(const RowReader& rows, std::span<const Id> which, ListSizes sizes,
                    bool by_distance, std::uint64_t seed, int threads);

}  // namespace nearfield
