// What is added to rows before a product is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace nearfield {

/// out = bias, or zeros without one, for every row.
inline void fill_rows(const std::vector<float>& bias, std::size_t rows, std::size_t dim,
                      float* out) noexcept {
    if (bias.empty()) {
        std::fill_n(out, rows * dim, 0.0f);
        return;
    }
    for (std::size_t i = 0; i < rows; ++i) std::copy_n(bias.data(), dim, out + i * dim);
}

/// out = x, and the bias where there is one. Rows stay as they are under a product of zero.
inline void copy_rows(const float* x, const std::vector<float>& bias, std::size_t rows,
                      std::size_t dim, float* out) noexcept {
    if (bias.empty()) {
        std::copy_n(x, rows * dim, out);
        return;
    }
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < dim; ++j) out[i * dim + j] = x[i * dim + j] + bias[j];
    }
}

}  // namespace nearfield
