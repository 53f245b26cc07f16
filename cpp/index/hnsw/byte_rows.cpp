// Coding rows and telling their distances.
// Distances are put together from whole numbers in float64: equal rows are 0 apart, and no finite row gives
// a distance that is not a number.
#include "index/hnsw/byte_rows.h"

#include <algorithm>
#include <cstring>

namespace nearfield {

ByteRows::ByteRows(std::size_t dim, bool by_distance)
    : dim_(dim), stride_(round_up(dim, 64)), by_distance_(by_distance) {}

void ByteRows::resize(std::size_t n) {
    codes_.resize(n * stride_);
    terms_.resize(n);
}

void ByteRows::set(std::size_t i, const float* x) noexcept {
    terms_[i] = encode_row(x, dim_, stride_, codes_.data() + i * stride_);
}

void ByteRows::set(std::size_t i, const ByteRows& from, std::size_t row) noexcept {
    terms_[i] = from.terms_[row];
    std::memcpy(codes_.data() + i * stride_, from.codes_.data() + row * stride_, stride_);
}

void ByteRows::distances(std::size_t from, const Id* to, std::size_t n, float* out) const noexcept {
    constexpr std::size_t kBatch = 256;
    std::int32_t products[kBatch];
    const ByteTerms x = terms_[from];
    const double scale = x.scale;
    const double square = scale * scale * x.square;
    for (std::size_t start = 0; start < n; start += kBatch) {
        const std::size_t count = std::min(kBatch, n - start);
        byte_products(codes_.data(), stride_, from, x.sum, to + start, count, products);
        for (std::size_t i = 0; i < count; ++i) {
            const ByteTerms y = terms_[to[start + i]];
            const double inner = scale * y.scale * products[i];
            if (!by_distance_) {
                out[start + i] = static_cast<float>(-inner);
                continue;
            }
            const double other = static_cast<double>(y.scale) * y.scale * y.square;
            out[start + i] = static_cast<float>(std::max(0.0, square + other - 2.0 * inner));
        }
    }
}

}  // namespace nearfield
