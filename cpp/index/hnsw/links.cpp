// What the one writer does with links.
#include "index/hnsw/links.h"

#include <cstring>
#include <utility>

#include "base/buffer.h"

namespace nearfield {

Links::Links(std::size_t width, Column records) : width_(width), records_(std::move(records)) {}

void Links::write(std::size_t node, std::span<const Id> links) noexcept {
    const Id* const record = record_of(node);
    for (std::size_t i = 0; i < width_; ++i) {
        const Id id = i < links.size() ? links[i] : kNoNode;
        std::atomic_ref<Id>(const_cast<Id&>(record[i])).store(id, relaxed);
    }
}

void Links::extend(std::size_t n) {
    const std::size_t bytes = n * record_bytes();
    if (bytes == 0) return;
    std::memset(records_.extend(bytes), 0xff, bytes);  // kNoNode everywhere
}

void Links::detach() {
    Buffer own(records_.bytes());
    if (own.size() != 0) std::memcpy(own.data(), records_.data(), own.size());
    records_ = Column(std::move(own));
}

}  // namespace nearfield
