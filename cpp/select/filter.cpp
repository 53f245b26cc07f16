#include "select/filter.h"

#include <bit>

namespace nearfield {

std::size_t RowFilter::count() const noexcept {
    std::size_t total = 0;
    for (const std::uint64_t word : words_) total += static_cast<std::size_t>(std::popcount(word));
    return total;
}

std::vector<Id> RowFilter::ids() const {
    std::vector<Id> rows;
    rows.reserve(count());
    for (std::size_t w = 0; w < words_.size(); ++w) {
        for (std::uint64_t word = words_[w]; word != 0; word &= word - 1) {
            rows.push_back(static_cast<Id>(w * 64) + static_cast<Id>(std::countr_zero(word)));
        }
    }
    return rows;
}

}  // namespace nearfield
