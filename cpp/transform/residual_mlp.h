// ResidualMlp: x + gate * (W2 act(W1 x + b1) + b2). Cost: 2 * hidden * dim multiply-adds a row.
#pragma once

#include <vector>

#include "transform/activation.h"
#include "transform/bias.h"
#include "transform/packed_matrix.h"
#include "transform/transform.h"

namespace nearfield {

class ResidualMlp final : public Transform {
public:
    /// w1: hidden x dim, w2: dim x hidden; b1, b2: or none. std::invalid_argument where gate times a
    /// parameter is beyond float32.
    ResidualMlp(MatrixView<float> w1, std::vector<float> b1, MatrixView<float> w2,
                std::vector<float> b2, double gate, ActivationKind activation);

    std::size_t scratch(std::size_t rows, std::size_t) const noexcept override {
        return rows * w1_.outputs();
    }
    void run(const float* x, std::size_t rows, std::size_t dim, float* out,
             float* scratch) const noexcept override;

private:
    PackedMatrix w1_;
    PackedMatrix w2_;
    std::vector<float> b1_;
    std::vector<float> b2_;
    ActivationKind activation_;
};

}  // namespace nearfield
