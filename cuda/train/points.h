// Points: rows on a device that are clustered, with the squared lengths of all on the host.
//
// Bytes are widened once, to float32; half-width floats stay as they are. Whatever reads single rows on the
// host gets copies and waits. Other devices may have parts of the rows beside. Source: own.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "cuda/runtime/memory.h"
#include "cuda/search/request.h"
#include "cuda/train/row_shares.h"
#include "quant/kmeans/row_source.h"

namespace nearfield::cuda {

class Points {
public:
    /// Waits. `rows` must stay. std::invalid_argument names the first row that is not finite. others: streams
    /// on other devices, which get as many of the rows.
    Points(const StreamRef& stream, const DeviceRows& rows, std::span<const StreamRef> others = {});

    /// A copy of some of them, without other devices: samples and parts are small.
    Points chosen(std::span<const Id> ids) const;

    const StreamRef& stream() const noexcept { return stream_; }
    const DeviceRows& rows() const noexcept { return rows_; }
    const std::vector<RowShare>& shares() const noexcept { return shares_.all(); }
    /// |x|^2 of every row, the bits of squared_norms_of().
    const std::vector<double>& squared() const noexcept { return squared_; }
    /// Must not outlive this.
    RowSource source() const;

private:
    Points() = default;
    /// Copies of some rows, one after another.
    DeviceBuffer gathered(std::span<const Id> ids) const;

    StreamRef stream_;
    DeviceRows rows_;
    DeviceBuffer own_;  // where rows_ are not the caller's
    std::vector<double> squared_;
    RowShares shares_;  // the last: copies are waited for before what they are of is freed
};

}  // namespace nearfield::cuda
