// Activation: a function of every element.
#pragma once

#include <string>

#include "transform/transform.h"

namespace nearfield {

enum class ActivationKind { kRelu, kLeakyRelu, kLogistic, kTanh };

/// "relu", "leaky_relu", "sigmoid", "tanh"; std::invalid_argument for another name.
ActivationKind activation_from(const std::string& name);

/// In place. What is NaN or infinite becomes either.
void activate(ActivationKind kind, float* x, std::size_t n) noexcept;

class Activation final : public Transform {
public:
    explicit Activation(ActivationKind kind) : Transform(0, 0), kind_(kind) {}
    void run(const float* x, std::size_t rows, std::size_t dim, float* out,
             float* scratch) const noexcept override;

private:
    ActivationKind kind_;
};

}  // namespace nearfield
