#include "index/live_codes.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace nearfield {

LiveCodes::LiveCodes(std::shared_ptr<const RowStore> store) : store_(std::move(store)) {
    if (store_->coding == nullptr || store_->lists != nullptr) {
        throw std::invalid_argument("codes: got an index without, expected a flat one with codes");
    }
    rows_ = store_->live_rows();
    std::sort(rows_.begin(), rows_.end(),
              [this](Id a, Id b) { return store_->label(a) < store_->label(b); });
}

std::vector<std::int64_t> LiveCodes::labels() const {
    std::vector<std::int64_t> out;
    out.reserve(rows_.size());
    for (const Id row : rows_) out.push_back(store_->label(row));
    return out;
}

std::vector<Id> LiveCodes::places() const {
    const std::vector<Id> live = store_->live_rows();
    std::vector<Id> place(store_->count);
    for (std::size_t i = 0; i < live.size(); ++i) place[live[i]] = static_cast<Id>(i);
    std::vector<Id> out;
    out.reserve(rows_.size());
    for (const Id row : rows_) out.push_back(place[row]);
    return out;
}

void LiveCodes::copy(std::size_t first, std::size_t count, std::uint8_t* out) const {
    if (first > size() || count > size() - first) {
        throw std::invalid_argument("codes: got " + std::to_string(count) + " from " +
                                    std::to_string(first) + " on, expected some of " +
                                    std::to_string(size()));
    }
    const std::size_t bytes = quantizer().code_size();
    for (std::size_t i = 0; i < count; ++i) {
        std::memcpy(out + i * bytes, store_->codes.data() + rows_[first + i] * bytes, bytes);
    }
}

}  // namespace nearfield
