// ByteRows: some rows in a byte an element, to tell how far they are from each other while links are chosen.
//
// A row is about scale * (code - 128), code from 1 to 255. Distances are good to about a hundredth of the
// rows' length, and the same bits on every level.
// Memory: dim bytes, rounded up to 64, and 12 bytes a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/types.h"
#include "quant/raw/byte_products.h"
#include "quant/raw/near_pairs.h"

namespace nearfield {

class ByteRows {
public:
    /// by_distance: squared distance, else minus the inner product; smaller is nearer either way.
    ByteRows(std::size_t dim, bool by_distance);

    /// Room for n rows; what they hold is not specified.
    void resize(std::size_t n);
    std::size_t size() const noexcept { return terms_.size(); }
    bool by_distance() const noexcept { return by_distance_; }

    /// Row i, from dim floats. Different rows from different threads.
    void set(std::size_t i, const float* x) noexcept;
    /// Row i as another ByteRows of the same dim has it.
    void set(std::size_t i, const ByteRows& from, std::size_t row) noexcept;

    /// How far row `from` is from n others.
    void distances(std::size_t from, const Id* to, std::size_t n, float* out) const noexcept;

    /// What comparisons of whole blocks read.
    ByteView view() const noexcept { return {codes_.data(), stride_, terms_.data()}; }

    void prefetch(std::size_t i) const noexcept {
        const std::uint8_t* const code = codes_.data() + i * stride_;
        for (std::size_t at = 0; at < stride_; at += 64) __builtin_prefetch(code + at);
        __builtin_prefetch(&terms_[i]);
    }

private:
    std::size_t dim_;
    std::size_t stride_;
    bool by_distance_;
    Buffer codes_;
    std::vector<ByteTerms> terms_;
};

}  // namespace nearfield
