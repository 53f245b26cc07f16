#include "index/ivf/list_order.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace nearfield {

std::vector<Id> rows_by_list(const RowStore& store, std::vector<std::uint32_t>& counts) {
    std::vector<Id> rows;
    rows.reserve(store.live_count());
    counts.assign(store.lists->size(), 0);
    for (std::size_t list = 0; list < counts.size(); ++list) {
        const std::size_t before = rows.size();
        for (const Run& run : store.lists->runs(list)) {
            for (Id row = run.first; row < run.first + run.count; ++row) {
                if (store.is_live(row)) rows.push_back(row);
            }
        }
        counts[list] = static_cast<std::uint32_t>(rows.size() - before);
    }
    return rows;
}

ListOrder::ListOrder(std::shared_ptr<const RowStore> store)
    : store_(std::move(store)), rows_(rows_by_list(*store_, sizes_)) {}

ListOrder ListOrder::part(std::size_t part, std::size_t parts) const {
    ListOrder out(*this);
    out.rows_.clear();
    auto first = rows_.begin();
    for (std::size_t list = 0; list < sizes_.size(); ++list) {
        const std::size_t size = sizes_[list];
        // Beginning with another part each, for lists may hold fewer rows than there are parts.
        const std::size_t which = (part + list) % parts;
        const auto from = static_cast<std::ptrdiff_t>(size * which / parts);
        const auto to = static_cast<std::ptrdiff_t>(size * (which + 1) / parts);
        out.rows_.insert(out.rows_.end(), first + from, first + to);
        out.sizes_[list] = static_cast<std::uint32_t>(to - from);
        first += static_cast<std::ptrdiff_t>(size);
    }
    return out;
}

std::vector<std::int64_t> ListOrder::labels() const { return store_->labels_of(rows_); }

std::vector<Id> ListOrder::places() const { return store_->places_of(rows_); }

void ListOrder::copy_rows(std::size_t first, std::size_t count, std::size_t stride,
                          std::uint8_t* out) const {
    const RowsView stored = store_->view(nullptr).rows;
    if (stored.data == nullptr && count != 0) {
        throw std::invalid_argument("the index keeps codes alone, no rows");
    }
    check_there(first, count);
    if (stride < row_bytes()) throw std::invalid_argument("stride: got less than a row");
    for (std::size_t i = 0; i < count; ++i, out += stride) {
        std::memcpy(out, stored.row(rows_[first + i]), row_bytes());
        std::memset(out + row_bytes(), 0, stride - row_bytes());
    }
}

const RowCoding& ListOrder::coding() const {
    if (store_->coding != nullptr) return *store_->coding;
    throw std::invalid_argument("codes: got an index without, expected one with codes in lists");
}

void ListOrder::copy_codes(std::size_t first, std::size_t count, std::uint8_t* out) const {
    check_there(first, count);
    const std::size_t bytes = coding().quantizer->code_size();
    for (std::size_t i = 0; i < count; ++i) {
        std::memcpy(out + i * bytes, store_->codes.data() + rows_[first + i] * bytes, bytes);
    }
}

void ListOrder::check_there(std::size_t first, std::size_t count) const {
    if (first <= size() && count <= size() - first) return;
    throw std::invalid_argument("rows: got " + std::to_string(count) + " from " +
                                std::to_string(first) + " on, expected some of " +
                                std::to_string(size()));
}

}  // namespace nearfield
