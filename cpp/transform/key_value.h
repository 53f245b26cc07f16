// KeyValue: x + V^T softmax(K x / temperature). Cost: 2 * h * dim multiply-adds and h exponentials a row.
// Source: "Adapted Dense Retrieval for Heterogeneous Text" (ADDER), the adapter.
#pragma once

#include "kernels/resolve.h"
#include "transform/bias.h"
#include "transform/packed_matrix.h"
#include "transform/transform.h"

namespace nearfield {

class KeyValue final : public Transform {
public:
    /// Both h x dim; temperature > 0.
    KeyValue(MatrixView<float> keys, MatrixView<float> values, double temperature)
        : Transform(keys.cols, keys.cols),
          keys_(keys, 1.0 / temperature, "keys"),
          values_(PackedMatrix::transposed(values, 1.0, "values")) {}

    std::size_t scratch(std::size_t rows, std::size_t) const noexcept override {
        return rows * keys_.outputs();
    }
    void run(const float* x, std::size_t rows, std::size_t dim, float* out,
             float* scratch) const noexcept override {
        const std::size_t h = keys_.outputs();
        keys_.multiply(x, rows, scratch, false);
        for (std::size_t i = 0; i < rows; ++i) kernels::active().softmax_f32(scratch + i * h, h);
        copy_rows(x, {}, rows, dim, out);
        values_.multiply(scratch, rows, out, true);
    }

private:
    PackedMatrix keys_;
    PackedMatrix values_;
};

}  // namespace nearfield
