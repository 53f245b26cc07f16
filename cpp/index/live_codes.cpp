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

std::vector<std::int64_t> LiveCodes::labels() const { return store_->labels_of(rows_); }

std::vector<Id> LiveCodes::places() const { return store_->places_of(rows_); }

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
