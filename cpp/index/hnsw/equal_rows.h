// Equal rows: what is coded alike is one row while links are chosen.
//
// Many rows that are 0 apart would know none but each other, and HNSW's rule would link each of them to one. So
// only the first of them, the original, takes part; the others follow it in a ring, from one to the next and
// back, and lead where the original leads.
// Cost: a hash of every row, and sorting these. Memory: 16 bytes a row, while they are sorted. Source: own.
#pragma once

#include <cstddef>
#include <vector>

#include "index/hnsw/byte_rows.h"
#include "index/hnsw/links.h"

namespace nearfield {

/// For every row the first one that equals it, which may be itself.
std::vector<Id> originals_of(const ByteRows& rows, int threads);

/// Writes the links of all rows. links: of the originals alone, numbers[i] being the i-th of these.
void link_equal(const std::vector<Id>& originals, const std::vector<Id>& numbers,
                const Links& links, Links& out);

}  // namespace nearfield
