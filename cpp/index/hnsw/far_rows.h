// FarRows: for some of the rows, others that lie farther away than their nearest ones.
//
// Of nested random samples, each a fraction of the one before, every row gets the nearest ones within them: what
// HNSW gives to those that are inserted early. From such rows there are ways out of a group of very near ones that
// know none but each other.
// Cost and memory: about a tenth of what the nearest ones of all rows take. Source: own; Malkov & Yashunin,
// arXiv:1603.09320, on the order of insertion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "index/hnsw/grouped_rows.h"
#include "index/hnsw/neighbours.h"

namespace nearfield {

class FarRows {
public:
    FarRows(const GroupedRows& rows, std::uint64_t seed, int threads);

    /// Appends those of a row, some perhaps twice.
    void append(Id row, std::vector<Near>& out) const;

private:
    struct Sample {
        std::vector<Id>
            place;  // of each row of the sample before, kNoNode if it is not in this one
        std::vector<Id> numbers;  // among all rows
        Neighbours nearest;
    };

    std::vector<Sample> samples_;
};

}  // namespace nearfield
