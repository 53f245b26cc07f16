// nearest_rows: the nearest ones of every row, among the rows of the lists that it looks into.
//
// Such lists are compared whole, panel by panel: a row meets several thousand others at well under a nanosecond
// each. What is missed are neighbours in lists further away. Distances are those of ByteRows.
// Cost: byte products of every row with those of `probed` lists. Memory: 24 bytes for each of those wanted, of
// some hundred rows a thread.
// Source: own; an inverted file that is searched with its own rows.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "index/hnsw/byte_rows.h"
#include "index/hnsw/choose_links.h"
#include "index/hnsw/partition.h"

namespace nearfield {

struct NearestSpec {
    std::size_t wanted;  // of each row
    std::size_t probed;  // lists
};

/// Gets each row once, in no fixed order, with its nearest ones in ascending order. worker is as in
/// parallel_for().
using TakeNearest = std::function<void(Id row, std::span<const Near> nearest, int worker)>;

/// rows: in the order of `lists`.
void nearest_rows(const ByteRows& rows, const Partition& lists, const NearestSpec& spec,
                  int threads, const TakeNearest& take);

}  // namespace nearfield
