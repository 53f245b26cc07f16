// EncodedRows: rows as codes, made once for all iterations.
//
// Codes and error constants are those of quant/raw/codes.h; exact search and k-means share the
// arithmetic. Memory a row: dim bytes (bfloat16: 2 dim) rounded up to 64, and 4 or 8 bytes.
#pragma once

#include <cstddef>
#include <vector>

#include "base/buffer.h"
#include "base/view.h"
#include "quant/raw/codes.h"

namespace nearfield {

class EncodedRows {
public:
    /// rows: finite. largest: an upper bound of the norms of rows and of what they are compared with.
    EncodedRows(MatrixView<float> rows, double largest, int threads);

    const CodeSpec& spec() const noexcept { return spec_; }
    std::size_t stride() const noexcept { return stride_; }
    const std::uint8_t* codes(std::size_t row) const noexcept {
        return codes_.data() + row * stride_;
    }
    const float* scale() const noexcept { return scale_.as<float>(); }
    /// What a lane's margin is multiplied by: scale, under kBF16 times the row's length.
    const float* spread() const noexcept {
        return spec_.kind == ScanKind::kBF16 ? spread_.as<float>() : scale();
    }
    const BlockError& error(std::size_t block) const noexcept { return errors_[block]; }

private:
    CodeSpec spec_;
    std::size_t stride_;
    Buffer codes_, scale_, spread_;
    std::vector<BlockError> errors_;
};

}  // namespace nearfield
