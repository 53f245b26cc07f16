// Linker: what one node links to, of some candidates whose rows are read for the purpose.
//
// Cost: reading every candidate's row, and about `most` times as many distances as are left each time.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "index/hnsw/byte_rows.h"
#include "index/hnsw/choose_links.h"
#include "index/hnsw/row_reader.h"

namespace nearfield {

/// Different nodes and the rows they stand for.
struct LinkCandidates {
    std::vector<Id> nodes;
    std::vector<Id> rows;

    void clear() noexcept {
        nodes.clear();
        rows.clear();
    }
    void add(Id node, Id row) {
        nodes.push_back(node);
        rows.push_back(row);
    }
    std::size_t size() const noexcept { return nodes.size(); }
};

class Linker {
public:
    Linker(const RowReader& rows, bool by_distance);

    /// Up to `most` nodes, nearest first, for the node of `row`; valid until the next call. kept: candidates
    /// that stay whatever the others are, fewer than `most`.
    std::span<const Id> choose(Id row, const LinkCandidates& candidates, std::size_t most,
                               std::span<const Id> kept = {});

private:
    void measure(Id row, const LinkCandidates& candidates);
    void keep(const LinkCandidates& candidates, std::size_t most, std::span<const Id> kept);

    const RowReader& rows_;
    std::vector<float> row_;
    ByteRows bytes_;
    std::vector<Id> numbers_;
    std::vector<float> distances_;
    std::vector<Near> near_;
    std::vector<Id> chosen_;
};

}  // namespace nearfield
