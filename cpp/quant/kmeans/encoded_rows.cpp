#include "quant/kmeans/encoded_rows.h"

#include <algorithm>

#include "base/parallel.h"
#include "quant/raw/calibrate.h"

namespace nearfield {
namespace {

/// Floors are of the size of the centroids, however short a row is: divided by its scale they must stay
/// within float32.
constexpr double kLeastScale = 0x1p-40;

CodeSpec spec_for(MatrixView<float> rows, double largest) {
    // Under l2 steps stay where their reciprocals are finite; the bias that comes with it is not used.
    CodeSpec spec{Metric::kL2, DType::kF32, rows.cols, unit_for(largest), ScanKind::kBytes};
    spec.least_scale = kLeastScale;
    spec.kind = choose_kind(spec, {rows.data, rows.rows, rows.cols, rows.stride, DType::kF32});
    return spec;
}

}  // namespace

EncodedRows::EncodedRows(MatrixView<float> rows, double largest, int threads)
    : spec_(spec_for(rows, largest)),
      stride_(code_stride(spec_)),
      codes_(rows.rows * stride_),
      scale_(rows.rows * sizeof(float)),
      spread_(spec_.kind == ScanKind::kBF16 ? rows.rows * sizeof(float) : 0),
      errors_((rows.rows + kBlockRows - 1) / kBlockRows) {
    parallel_for(errors_.size(), threads, [&](std::size_t block, int) {
        std::vector<float> wide(spec_.dim);
        BlockError error;
        const std::size_t end = std::min(rows.rows, (block + 1) * kBlockRows);
        for (std::size_t i = block * kBlockRows; i < end; ++i) {
            RowConstants c{};
            encode_row(spec_, rows.row(i), wide.data(), codes_.data() + i * stride_, c);
            scale_.as<float>()[i] = c.scale;
            if (spread_.size() != 0) spread_.as<float>()[i] = c.spread;
            error.code_norm = std::max(error.code_norm, c.error.code_norm);
            error.residual = std::max(error.residual, c.error.residual);
        }
        errors_[block] = error;
    });
}

}  // namespace nearfield
