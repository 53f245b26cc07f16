// NearestRows: the nearest ones of every row, among the rows of the nearest lists.
//
// A list and those about it are compared whole, panel by panel: a row meets several thousand others at a
// fraction of a nanosecond for eight elements of a pair, and only pairs that may be among its nearest so far
// leave the kernel. What is missed are neighbours in lists further away. Distances are those of ByteRows.
// Cost: rows * compared byte products, and about ten distances a row for each wanted. Memory: 12 bytes for each
// wanted of some hundred rows a thread.
// Source: own; an inverted file that is searched with its own rows.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "index/hnsw/byte_rows.h"
#include "index/hnsw/choose_links.h"
#include "index/hnsw/partition.h"

namespace nearfield {

struct NearestSpec {
    std::size_t wanted;    // of each row
    std::size_t probed;    // lists
    std::size_t compared;  // with no more rows than this, once it has met its own list
};

/// Called once for each row, in no fixed order, with its nearest ones in ascending order. worker is as in
/// parallel_for().
using TakeNearest = std::function<void(Id row, std::span<const Near> nearest, int worker)>;

/// rows: in the order of `lists`.
void nearest_rows(const ByteRows& rows, const Partition& lists, const NearestSpec& spec,
                  int threads, const TakeNearest& take);

}  // namespace nearfield
