#include "cuda/train/row_shares.h"

#include <algorithm>
#include <utility>

namespace nearfield::cuda {
namespace {

DeviceRows rows_from(const DeviceRows& rows, std::size_t first, std::size_t count) {
    DeviceRows some = rows;
    some.address += first * rows.stride * size_of(rows.dtype);
    some.rows = count;
    return some;
}

/// Nothing behind the last row is read.
std::size_t bytes_of(const DeviceRows& rows) {
    return ((rows.rows - 1) * rows.stride + rows.cols) * size_of(rows.dtype);
}

}  // namespace

void settle(const StreamRef& stream) noexcept {
    try {
        stream.synchronize();
    } catch (...) {
        // A device that failed reads nothing any more.
    }
}

// By the other constructor, so that copies are waited for where a later one fails.
RowShares::RowShares(const StreamRef& home, const DeviceRows& rows,
                     std::span<const StreamRef> others)
    : RowShares() {
    const std::size_t parts = others.size() + 1, each = (rows.rows + parts - 1) / parts;
    all_.reserve(others.size());  // nothing fails between a copy and its place here
    for (std::size_t i = 0; i < others.size(); ++i) {
        const std::size_t first = std::min((i + 1) * each, rows.rows);
        const std::size_t count = std::min(each, rows.rows - first);
        if (count == 0) break;
        const StreamRef& there = others[i];
        DeviceRows some = rows_from(rows, first, count);
        DeviceBuffer memory(there, bytes_of(some));
        there.wait_for(home);
        copy_between(there, {*there.device, memory.address()}, {*home.device, some.address},
                     memory.bytes());
        some.address = memory.address();
        all_.push_back({there, first, std::move(memory), some});
    }
}

RowShares::~RowShares() {
    for (const RowShare& share : all_) settle(share.stream);
}

}  // namespace nearfield::cuda
