#include "transform/activation.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/resolve.h"

namespace nearfield {
namespace {

constexpr float kLeak = 0.01f;
constexpr const char* kNames[] = {"relu", "leaky_relu", "sigmoid", "tanh"};

}  // namespace

ActivationKind activation_from(const std::string& name) {
    for (int i = 0; i < 4; ++i) {
        if (name == kNames[i]) return static_cast<ActivationKind>(i);
    }
    throw std::invalid_argument("activation: got '" + name +
                                "', expected relu, leaky_relu, sigmoid or tanh");
}

void activate(ActivationKind kind, float* x, std::size_t n) noexcept {
    switch (kind) {
        case ActivationKind::kRelu:
            // Minus infinity, an overflow, becomes NaN.
            for (std::size_t k = 0; k < n; ++k) x[k] = x[k] < 0.0f ? 0.0f * x[k] + 0.0f : x[k];
            return;
        case ActivationKind::kLeakyRelu:
            for (std::size_t k = 0; k < n; ++k) x[k] = x[k] < 0.0f ? kLeak * x[k] : x[k];
            return;
        case ActivationKind::kLogistic: kernels::active().logistic_f32(x, n); return;
        case ActivationKind::kTanh: kernels::active().tanh_f32(x, n); return;
    }
}

void Activation::run(const float* x, std::size_t rows, std::size_t dim, float* out,
                     float*) const noexcept {
    std::copy_n(x, rows * dim, out);
    activate(kind_, out, rows * dim);
}

}  // namespace nearfield
