// Parts of the rows of one device on others, which find assignments of them (shared_nearest.h).
//
// The first device keeps all rows: it needs them for sums, whose order decides their bits.
// Cost: a copy of the other devices' parts, once. Source: own; docs/decisions/0020.
#pragma once

#include <span>
#include <vector>

#include "cuda/runtime/memory.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

/// Waits, however badly that ends, for work that reads memory of others: they may free it then.
void settle(const StreamRef& stream) noexcept;

/// A part of the rows, from row `first` on.
struct RowShare {
    StreamRef stream;
    std::size_t first;
    DeviceBuffer memory;
    DeviceRows rows;
};

class RowShares {
public:
    RowShares() = default;
    /// Enqueues copies: as many rows for each of `others`, streams on other devices, as stay. Waits for them
    /// when this ends, so the rows must stay that long.
    RowShares(const StreamRef& home, const DeviceRows& rows, std::span<const StreamRef> others);
    ~RowShares();
    RowShares(RowShares&& other) noexcept = default;
    RowShares& operator=(RowShares&& other) noexcept = default;

    const std::vector<RowShare>& all() const noexcept { return all_; }

private:
    std::vector<RowShare> all_;
};

}  // namespace nearfield::cuda
