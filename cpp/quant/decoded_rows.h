// DecodedRows: rows that exist as codes only, read back as floats: decode(code), plus the row's centre where
// codes are of what rows differ from one. Where codes are of rotated rows, so are these.
//
// Cost: one decode() a row, see the quantizers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"
#include "quant/quantizer.h"

namespace nearfield {

class DecodedRows {
public:
    /// centres: dim floats each, rotated where codes are, and whose a row is; null: none. All must outlive
    /// this.
    DecodedRows(const Quantizer& quantizer, const std::uint8_t* codes, const float* centres,
                const Id* centre_of) noexcept
        : quantizer_(&quantizer), codes_(codes), centres_(centres), centre_of_(centre_of) {}

    const Quantizer& quantizer() const noexcept { return *quantizer_; }
    std::size_t dim() const noexcept { return quantizer_->dim(); }
    const std::uint8_t* code(std::size_t row) const noexcept {
        return codes_ + row * quantizer_->code_size();
    }
    /// Null: none.
    const float* centre(std::size_t row) const noexcept {
        return centres_ != nullptr ? centres_ + std::size_t{centre_of_[row]} * dim() : nullptr;
    }

    /// Rows [first, first + n), dim floats each.
    void read(std::size_t first, std::size_t n, float* out) const {
        quantizer_->decode_rotated(code(first), n, out);
        if (centres_ == nullptr) return;
        const std::size_t width = dim();
        for (std::size_t i = 0; i < n; ++i) {
            const float* c = centres_ + std::size_t{centre_of_[first + i]} * width;
            float* x = out + i * width;
            for (std::size_t k = 0; k < width; ++k) x[k] += c[k];
        }
    }

private:
    const Quantizer* quantizer_;
    const std::uint8_t* codes_;
    const float* centres_;
    const Id* centre_of_;
};

}  // namespace nearfield
