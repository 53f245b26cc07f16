// LowRank: x + scale * B (A x) + bias. Cost: 2 * r * dim multiply-adds a row.
#pragma once

#include <utility>
#include <vector>

#include "transform/bias.h"
#include "transform/packed_matrix.h"
#include "transform/transform.h"

namespace nearfield {

class LowRank final : public Transform {
public:
    /// a: r x dim, b: dim x r; bias: dim floats or none.
    LowRank(MatrixView<float> a, MatrixView<float> b, double scale, std::vector<float> bias)
        : Transform(a.cols, a.cols), a_(a, 1.0, "a"), b_(b, scale, "b"), bias_(std::move(bias)) {}

    std::size_t scratch(std::size_t rows, std::size_t) const noexcept override {
        return rows * a_.outputs();
    }
    void run(const float* x, std::size_t rows, std::size_t dim, float* out,
             float* scratch) const noexcept override {
        a_.multiply(x, rows, scratch, false);
        copy_rows(x, bias_, rows, dim, out);
        b_.multiply(scratch, rows, out, true);
    }

private:
    PackedMatrix a_;
    PackedMatrix b_;
    std::vector<float> bias_;
};

}  // namespace nearfield
