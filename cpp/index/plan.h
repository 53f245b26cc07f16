// Plan: how the queries and rows of one exhaustive search are cut into tasks, and in what order rows
// are visited.
#pragma once

#include <cstddef>

namespace nearfield {

struct Plan {
    std::size_t panel_lanes;  // queries in a panel, the last one fewer
    std::size_t group_lanes;  // queries in a group
    std::size_t groups;
    std::size_t ranges;  // row ranges per group
    std::size_t range_blocks;
    std::size_t blocks;
    std::size_t stride;  // between blocks visited one after the other, modulo `blocks`

    /// depth: bytes of a row that the scan reads.
    /// scattered: every stretch of the order is an even sample of all blocks; else blocks in order.
    Plan(std::size_t queries, std::size_t rows, std::size_t depth, std::size_t threads,
         bool scattered);

    /// The block visited at `position` of 0 .. blocks - 1.
    std::size_t block(std::size_t position) const noexcept { return position * stride % blocks; }
};

}  // namespace nearfield
