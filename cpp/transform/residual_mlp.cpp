#include "transform/residual_mlp.h"

#include <cmath>
#include <stdexcept>
#include <utility>

namespace nearfield {

ResidualMlp::ResidualMlp(MatrixView<float> w1, std::vector<float> b1, MatrixView<float> w2,
                         std::vector<float> b2, double gate, ActivationKind activation)
    : Transform(w1.cols, w1.cols),
      w1_(w1, 1.0, "w1"),
      w2_(w2, gate, "w2"),
      b1_(std::move(b1)),
      b2_(std::move(b2)),
      activation_(activation) {
    for (float& value : b2_) {
        value = static_cast<float>(static_cast<double>(value) * gate);
        if (!std::isfinite(value)) {
            throw std::invalid_argument("b2: times the gate it is beyond float32");
        }
    }
}

void ResidualMlp::run(const float* x, std::size_t rows, std::size_t dim, float* out,
                      float* scratch) const noexcept {
    const std::size_t hidden = w1_.outputs();
    if (!b1_.empty()) fill_rows(b1_, rows, hidden, scratch);
    w1_.multiply(x, rows, scratch, !b1_.empty());
    activate(activation_, scratch, rows * hidden);
    copy_rows(x, b2_, rows, dim, out);
    w2_.multiply(scratch, rows, out, true);
}

}  // namespace nearfield
