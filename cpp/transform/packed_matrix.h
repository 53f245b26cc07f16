// PackedMatrix: a float32 matrix laid out once for products with rows.
//
// 16 outputs stand side by side for every input element, zeros past the last output. Cost: as many floats as
// the matrix, its outputs rounded up to 16.
#pragma once

#include <cstddef>

#include "base/buffer.h"
#include "base/view.h"

namespace nearfield {

class PackedMatrix {
public:
    /// factor * w, w of outputs x inputs; std::invalid_argument that names `what` where w is empty or
    /// factor * w is not finite.
    PackedMatrix(MatrixView<float> w, double factor, const char* what);
    /// factor * w transposed.
    static PackedMatrix transposed(MatrixView<float> w, double factor, const char* what);

    std::size_t inputs() const noexcept { return inputs_; }
    std::size_t outputs() const noexcept { return outputs_; }

    /// out = rows of x times the matrix, or as much more if add; no gaps between rows.
    void multiply(const float* x, std::size_t rows, float* out, bool add) const noexcept;

private:
    PackedMatrix(std::size_t outputs, std::size_t inputs, const char* what);
    void set(std::size_t output, std::size_t input, float value, double factor, const char* what);

    std::size_t outputs_;
    std::size_t inputs_;
    Buffer panels_;
};

}  // namespace nearfield
