#include "index/label_map.h"

#include <algorithm>
#include <bit>

#include "base/interrupt.h"
#include "base/random.h"

namespace nearfield {

std::size_t LabelMap::home(std::int64_t label) const noexcept {
    auto state = static_cast<std::uint64_t>(label);
    return static_cast<std::size_t>(splitmix64(state)) & (slots_.size() - 1);
}

void LabelMap::insert(const RowStore& store, Id row) noexcept {
    const std::int64_t label = store.label(row);
    std::size_t at = home(label);
    // An earlier row of this label is dead: its place is taken, so that a label which is replaced again
    // and again does not leave a chain behind.
    while (slots_[at] != kEmpty && store.label(slots_[at]) != label) {
        at = (at + 1) & (slots_.size() - 1);
    }
    slots_[at] = row;
}

void LabelMap::follow(const RowStore& store) {
    if (layout_ != store.layout || rows_ > store.count) {
        slots_.clear();
        rows_ = 0;
        layout_ = store.layout;
    }
    // At most two thirds full, so that probes stay short.
    if (slots_.size() / 3 * 2 < store.count) {
        slots_.assign(std::bit_ceil(std::max<std::size_t>(64, store.count * 2)), kEmpty);
        rows_ = 0;
    }
    for (; rows_ < store.count; ++rows_) {
        if (rows_ % 4096 == 0) checkpoint();
        insert(store, static_cast<Id>(rows_));
    }
}

std::optional<Id> LabelMap::find(const RowStore& store, std::int64_t label) {
    if (store.labels_are_rows()) {
        if (label < 0 || static_cast<std::uint64_t>(label) >= store.count) return std::nullopt;
        const auto row = static_cast<Id>(label);
        return store.is_live(row) ? std::optional(row) : std::nullopt;
    }
    follow(store);
    if (slots_.empty()) return std::nullopt;
    for (std::size_t at = home(label); slots_[at] != kEmpty; at = (at + 1) & (slots_.size() - 1)) {
        const Id row = slots_[at];
        if (store.label(row) == label && store.is_live(row)) return row;
    }
    return std::nullopt;
}

}  // namespace nearfield
