// Affine: W x + b. Cost: in_dim * out_dim multiply-adds a row.
#pragma once

#include <utility>
#include <vector>

#include "transform/bias.h"
#include "transform/packed_matrix.h"
#include "transform/transform.h"

namespace nearfield {

class Affine final : public Transform {
public:
    /// w: out_dim x in_dim; b: out_dim floats or none.
    Affine(MatrixView<float> w, std::vector<float> b)
        : Transform(w.cols, w.rows), w_(w, 1.0, "w"), b_(std::move(b)) {}

    void run(const float* x, std::size_t rows, std::size_t, float* out,
             float*) const noexcept override {
        if (!b_.empty()) fill_rows(b_, rows, w_.outputs(), out);
        w_.multiply(x, rows, out, !b_.empty());
    }

private:
    PackedMatrix w_;
    std::vector<float> b_;
};

}  // namespace nearfield
