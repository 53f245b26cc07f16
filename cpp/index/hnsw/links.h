// Links: for every node of one level, the nodes it leads to.
//
// A record of `width` ids a node; unused places, the last ones, hold kNoNode. One writer changes records in
// place while any number of searches read them: single ids are read and written atomically, so that a search
// sees some mixture of the old and the new links, each of which was right at some time. A copy of Links is a
// snapshot only of how many nodes there are; detach() gives the writer records of its own.
// Memory: 4 * width bytes a node.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/types.h"
#include "index/column.h"

namespace nearfield {

inline constexpr Id kNoNode = UINT32_MAX;

class Links {
public:
    /// width: most links of a node.
    explicit Links(std::size_t width = 0) : width_(width) {}
    /// `count` records as files hold them.
    Links(std::size_t width, Column records);

    std::size_t width() const noexcept { return width_; }
    std::size_t count() const noexcept {
        return width_ == 0 ? 0 : records_.bytes() / record_bytes();
    }
    std::size_t bytes() const noexcept { return records_.bytes(); }
    const Column& records() const noexcept { return records_; }

    /// Copies the links of a node to nodes below `count` to `out`, which has room for width(); returns how many.
    /// A writer may have linked to nodes that are no part of a search's snapshot.
    std::size_t read(std::size_t node, std::size_t count, Id* out) const noexcept {
        const Id* const record = record_of(node);
        std::size_t n = 0;
        for (std::size_t i = 0; i < width_; ++i) {
            const Id id = std::atomic_ref<Id>(const_cast<Id&>(record[i])).load(relaxed);
            if (id == kNoNode) break;
            out[n] = id;
            n += id < count;
        }
        return n;
    }
    std::size_t read(std::size_t node, Id* out) const noexcept { return read(node, count(), out); }

    void prefetch(std::size_t node) const noexcept {
        const auto* const record = reinterpret_cast<const char*>(record_of(node));
        for (std::size_t at = 0; at < record_bytes(); at += 64) __builtin_prefetch(record + at);
    }

    /// Up to width() links. For the one writer, on records of its own or of nodes that searches know.
    void write(std::size_t node, std::span<const Id> links) noexcept;

    /// n more nodes, without links.
    void extend(std::size_t n);

    /// From now on write() changes what no other copy sees.
    void detach();

private:
    static constexpr auto relaxed = std::memory_order_relaxed;

    std::size_t record_bytes() const noexcept { return width_ * sizeof(Id); }
    const Id* record_of(std::size_t node) const noexcept {
        return records_.as<Id>() + node * width_;
    }

    std::size_t width_;
    Column records_;
};

}  // namespace nearfield
