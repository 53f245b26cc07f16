// RowSearch: the nearest ones of some rows, among the blocks of rows that they meet.
//
// Panels give bounds of how near a pair is. A row keeps who may be among its nearest so far; when these are
// twice as many as wanted, those are dropped that so many others are surely nearer than. At last ByteRows tell
// the distances of the few that are left: what is found is the same on every level, in any order of blocks.
// Cost: a byte product an element of a pair. Memory: 12 bytes for each of two times those wanted, and of a
// block, a row. Source: own; quant/raw/near_pairs.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/hnsw/byte_rows.h"
#include "index/hnsw/choose_links.h"
#include "quant/raw/near_pairs.h"

namespace nearfield {

class RowSearch {
public:
    /// For up to `slots` rows at a time.
    RowSearch(const ByteRows& rows, std::size_t dim, std::size_t slots, std::size_t wanted);

    /// From now on slot i is row first + i.
    void start(Id first);

    /// The rows of these slots meet rows begin .. end - 1, none of which they have met before.
    void meet(std::span<const std::uint32_t> slots, std::size_t begin, std::size_t end);

    /// Ends the search of one slot: its nearest ones but for itself, in ascending order. Valid until the next
    /// call.
    std::span<const Near> nearest(std::size_t slot);
    /// The same in no order.
    std::span<const Near> nearest_unsorted(std::size_t slot);

private:
    /// Rows of a block: what is dropped is dropped after each.
    static constexpr std::size_t kBlock = 128;

    /// Who may be near, with bounds of a score that is larger the nearer two rows are.
    struct Found {
        float lower;
        float upper;
        Id node;
    };

    void meet_panel(std::span<const std::uint32_t> slots, std::size_t block);
    void drop_farthest(std::size_t slot);
    void keep_nearest(std::size_t slot);
    void select(std::size_t slot);

    const ByteRows& rows_;
    NearPairs pairs_;
    HitBuffer hits_;
    std::size_t wanted_;
    std::size_t room_;
    Id first_ = 0;
    std::vector<Found> found_;  // room_ places a slot
    std::vector<std::uint32_t> counts_;
    std::vector<float> least_;  // upper bounds that are worth keeping
    // Of one slot.
    std::vector<float> scores_;
    std::vector<Id> nodes_;
    std::vector<float> distances_;
    std::vector<Near> near_;
};

}  // namespace nearfield
