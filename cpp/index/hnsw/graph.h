// Graph: levels of nodes and links over the rows of a store, and the codes by which walks find their way.
//
// Nodes have numbers of their own, in an order that keeps near ones together; nodes[i] of level 0 is the row
// that node i stands for. A level above holds about every m-th node of the one below; the top level holds
// few nodes, has no links and is looked through whole. A copy shares memory, see Links and Column.
// Source: Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
// Navigable Small World graphs" (arXiv:1603.09320), with m and ef_construction as there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "index/column.h"
#include "index/hnsw/links.h"
#include "index/hnsw/walk_codes.h"

namespace nearfield {

struct GraphSpec {
    std::size_t m = 32;                 // links of a node above level 0; there it has up to 2 m
    std::size_t ef_construction = 200;  // breadth of the search for what a row is linked to
    std::uint64_t seed = 0;
};

/// Up to so many nodes are a top level.
inline constexpr std::size_t kTopNodes = 256;

struct Level {
    Column nodes;  // level 0: row of each node; above: its number on level 0
    Column below;  // above level 1: its number on the level below; level 0, 1: empty
    Links links;   // of width 0 on the top level, unless that is level 0

    std::size_t count() const noexcept { return nodes.bytes() / sizeof(Id); }
    const Id* ids() const noexcept { return nodes.as<Id>(); }
};

struct Graph {
    GraphSpec spec;
    bool by_distance = true;  // nearness of rows is distance, not the inner product; see RowReader
    WalkCodes codes;          // of the nodes of level 0
    std::vector<Level> levels;

    std::size_t count() const noexcept { return levels.empty() ? 0 : levels[0].count(); }
    Id row(Id node) const noexcept { return levels[0].ids()[node]; }
    std::size_t bytes() const noexcept;
};

/// Whether node `number` (of a level, counted from 0) is also on the next level.
bool rises(const GraphSpec& spec, std::size_t level, std::uint64_t number) noexcept;

}  // namespace nearfield
