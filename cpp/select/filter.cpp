#include "select/filter.h"

#include <bit>
#include <cstring>

namespace nearfield {

namespace {

/// A bit for each of eight bytes, set where it is not zero.
std::uint64_t bits_of(const std::uint8_t* bytes) noexcept {
    constexpr std::uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
    std::uint64_t eight;
    std::memcpy(&eight, bytes, sizeof eight);
    const std::uint64_t top = (((eight & kLow) + kLow) | eight) & ~kLow;
    return ((top >> 7) * 0x0102040810204080) >> 56;
}

}  // namespace

RowFilter::RowFilter(std::span<const std::uint8_t> bytes) : RowFilter(bytes.size()) {
    const std::size_t whole = bytes.size() / 8;
    for (std::size_t i = 0; i < whole; ++i) {
        words_[i / 8] |= bits_of(bytes.data() + 8 * i) << (8 * (i % 8));
    }
    for (std::size_t row = 8 * whole; row < bytes.size(); ++row) {
        if (bytes[row] != 0) set(row);
    }
}

std::size_t RowFilter::count() const noexcept {
    std::size_t total = 0;
    for (const std::uint64_t word : words_) total += static_cast<std::size_t>(std::popcount(word));
    return total;
}

std::vector<Id> RowFilter::ids() const {
    std::vector<Id> rows(count());
    write_ids(0, rows_, rows.data());
    return rows;
}

std::size_t RowFilter::write_ids(std::size_t begin, std::size_t end, Id* ids) const noexcept {
    std::size_t n = 0;
    for (std::size_t first = begin; first < end; first += 64) {
        std::uint64_t word = words_[first / 64];
        if (end - first < 64) word &= (std::uint64_t{1} << (end - first)) - 1;
        for (; word != 0; word &= word - 1) {
            ids[n++] = static_cast<Id>(first) + static_cast<Id>(std::countr_zero(word));
        }
    }
    return n;
}

}  // namespace nearfield
