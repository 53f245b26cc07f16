// GraphTable: a graph and the rows it leads to as plain tables, for what walks it elsewhere.
//
// Rows have numbers of their own: those that are live by ascending label, then the dead ones, which lead the way
// only. So the smaller number is the smaller label wherever rows are as near.
// Memory: a copy of the links. Source: own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/hnsw/graph.h"
#include "index/row_store.h"

namespace nearfield {

struct GraphTable {
    std::vector<Id> rows;              // of the store, by number
    std::vector<std::int64_t> labels;  // of the live ones
    std::vector<Id> places;            // likewise: as how many-th of the live rows it came

    std::size_t degree = 0;
    std::vector<Id> links;  // `degree` numbers a row; kNoNode where there is none

    // Nodes of the levels above the rows, the lowest level first; they have numbers within their level.
    std::size_t width = 0;
    std::vector<Id> node_rows;    // the row of a node, by its number here
    std::vector<Id> below;        // its number on the level below; on the lowest of these its row
    std::vector<Id> upper_links;  // `width` numbers of its level
    std::vector<Id> starts{0};    // of each level, and the end

    double unit = 1.0;    // a power of two that brings rows to about length 1
    double length = 1.0;  // ip: of rows times unit, where all are about equally long; else infinite
};

GraphTable table_of(const RowStore& store);

/// Writes rows of a store as a caller gave them, dense; int8 as int8.
void copy_stored_rows(const RowsView& rows, std::span<const Id> which, std::uint8_t* out);

}  // namespace nearfield
