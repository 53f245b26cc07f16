// LabelMap: from a user's label to its row. While labels are row numbers nothing is stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "base/types.h"

namespace nearfield {

class LabelMap {
public:
    /// Rows [0, count) called by their numbers.
    void reset_to_rows(std::size_t count) {
        map_.clear();
        plain_ = count;
        is_plain_ = true;
    }
    void reset() { reset_to_rows(0); }

    std::optional<Id> find(std::int64_t label) const {
        if (is_plain_) {
            if (label < 0 || static_cast<std::uint64_t>(label) >= plain_) return std::nullopt;
            if (!map_.empty() && map_.count(label) != 0) return std::nullopt;  // removed
            return static_cast<Id>(label);
        }
        const auto it = map_.find(label);
        if (it == map_.end()) return std::nullopt;
        return it->second;
    }

    /// label is new; row is the next row while labels are row numbers.
    void insert(std::int64_t label, Id row) {
        if (is_plain_ && map_.empty() && row == plain_ && label == static_cast<std::int64_t>(row)) {
            ++plain_;
            return;
        }
        spell_out();
        map_[label] = row;
    }

    void erase(std::int64_t label) {
        // While plain, the map holds the labels that were removed.
        if (is_plain_) {
            map_[label] = 0;
        } else {
            map_.erase(label);
        }
    }

    void reserve(std::size_t n) {
        if (!is_plain_) map_.reserve(n);
    }

private:
    void spell_out() {
        if (!is_plain_) return;
        std::unordered_map<std::int64_t, Id> all;
        all.reserve(plain_ + 1);
        for (std::size_t row = 0; row < plain_; ++row) {
            const auto label = static_cast<std::int64_t>(row);
            if (map_.count(label) == 0) all.emplace(label, static_cast<Id>(row));
        }
        map_ = std::move(all);
        is_plain_ = false;
    }

    bool is_plain_ = true;
    std::size_t plain_ = 0;
    std::unordered_map<std::int64_t, Id> map_;
};

}  // namespace nearfield
