// Diagonal: a weight for every dimension. Normalize: unit length, in float64; zero rows stay zero.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "kernels/resolve.h"
#include "transform/transform.h"

namespace nearfield {

class Diagonal final : public Transform {
public:
    explicit Diagonal(std::vector<float> w) : Transform(w.size(), w.size()), w_(std::move(w)) {}

    void run(const float* x, std::size_t rows, std::size_t dim, float* out,
             float*) const noexcept override {
        for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < dim; ++j) out[i * dim + j] = x[i * dim + j] * w_[j];
        }
    }

private:
    std::vector<float> w_;
};

/// In place. The sum is exact_ip's, the same bits on every level.
inline void normalize_row(float* x, std::size_t dim) noexcept {
    const double square = kernels::active().ip_f32(x, x, dim);
    if (square == 0.0) return;
    const double inverse = 1.0 / std::sqrt(square);
    for (std::size_t j = 0; j < dim; ++j) {
        x[j] = static_cast<float>(static_cast<double>(x[j]) * inverse);
    }
}

class Normalize final : public Transform {
public:
    Normalize() : Transform(0, 0) {}

    void run(const float* x, std::size_t rows, std::size_t dim, float* out,
             float*) const noexcept override {
        std::copy_n(x, rows * dim, out);
        for (std::size_t i = 0; i < rows; ++i) normalize_row(out + i * dim, dim);
    }
};

}  // namespace nearfield
