// ListProbes: which lists each row looks into for its nearest ones: its own and those with the nearest centres.
//
// Only the centres near that of the own list are looked at.
// Cost: a byte product an element of a row and of some hundred centres, and of any two centres.
// Source: own.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "index/hnsw/byte_rows.h"
#include "index/hnsw/partition.h"
#include "index/hnsw/row_search.h"

namespace nearfield {

class ListProbes {
public:
    /// What one thread works with.
    struct Scratch {
        Scratch(const ListProbes& probes, std::size_t rows);

        ByteRows coded;  // some centres, then the rows
        RowSearch search;
        std::vector<float> distances;
        std::vector<Near> centres;
        std::vector<std::uint32_t> slots;
    };

    /// rows: in the order of `lists`. probed: lists a row beside its own.
    ListProbes(const ByteRows& rows, const Partition& lists, std::size_t probed);

    /// Calls take(row, rank, list) for the rows begin .. end - 1, which belong to the list `own`; rank counts
    /// lists from the own one on, 0, by how near they are to it.
    template <class Take>
    void of(Id own, std::size_t begin, std::size_t end, Scratch& scratch, Take&& take) const {
        find_centres(own, begin, end, scratch);
        for (std::size_t row = begin; row < end; ++row) {
            take(row, Id{0}, own);
            for (const Near& near : scratch.search.nearest_unsorted(row - begin)) {
                if (near.node != 0) take(row, near.node, scratch.centres[near.node].node);
            }
        }
    }

private:
    void find_centres(Id own, std::size_t begin, std::size_t end, Scratch& scratch) const;
    void nearest_lists(Id own, std::vector<float>& distances, std::vector<Near>& lists) const;

    const ByteRows& rows_;
    const Partition& lists_;
    std::size_t dim_;
    std::size_t probed_;
    ByteRows centres_;
    std::vector<Id> all_;
};

}  // namespace nearfield
