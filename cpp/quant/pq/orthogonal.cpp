// Orthogonal matrices, see orthogonal.h.
#include "quant/pq/orthogonal.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/resolve.h"

namespace nearfield {
namespace {

constexpr int kPolarSteps = 60;
constexpr float kPolarError = 2e-6f;
constexpr int kAxisSteps = 24;

/// Sum of 12 uniforms: near enough to normal for directions.
float gaussian(Random& random) {
    float sum = -6.0f;
    for (int i = 0; i < 12; ++i) sum += random.uniform_float();
    return sum;
}

/// row -= <row, other> other.
void remove_part(float* row, const float* other, std::size_t dim) {
    const auto part = static_cast<float>(kernels::active().ip_f32(row, other, dim));
    for (std::size_t k = 0; k < dim; ++k) row[k] -= part * other[k];
}

/// Scales a row to norm 1; false where nothing is left of it.
bool normalise(float* row, std::size_t dim, double least) {
    const double norm = std::sqrt(kernels::active().ip_f32(row, row, dim));
    if (!(norm > least)) return false;
    const auto inverse = static_cast<float>(1.0 / norm);
    for (std::size_t k = 0; k < dim; ++k) row[k] *= inverse;
    return true;
}

double frobenius(const Matrix& a, std::size_t dim) {
    double sum = 0.0;
    for (std::size_t i = 0; i < dim; ++i) {
        sum += kernels::active().ip_f32(a.data() + i * dim, a.data() + i * dim, dim);
    }
    return std::sqrt(sum);
}

}  // namespace

Matrix transpose(const Matrix& a, std::size_t dim) {
    Matrix out(a.size());
    for (std::size_t i = 0; i < dim; ++i) {
        for (std::size_t k = 0; k < dim; ++k) out[k * dim + i] = a[i * dim + k];
    }
    return out;
}

Matrix multiply(const Matrix& a, const Matrix& b, std::size_t dim, int threads) {
    const std::size_t lanes = kernels::kLanes;
    const auto& kernel = kernels::active();
    Matrix out(dim * dim);
    parallel_for((dim + lanes - 1) / lanes, threads, [&](std::size_t block, int) {
        const std::size_t first = block * lanes;
        const std::size_t cols = std::min(lanes, dim - first);
        std::vector<float> part(dim * lanes, 0.0f);
        std::vector<float> product(dim * lanes);
        for (std::size_t k = 0; k < dim; ++k) {
            std::copy_n(b.data() + k * dim + first, cols, part.data() + k * lanes);
        }
        kernel.multiply_lanes(
            {a.data(), dim, dim, part.data(), lanes, dim, product.data(), lanes, false});
        for (std::size_t i = 0; i < dim; ++i) {
            std::copy_n(product.data() + i * lanes, cols, out.data() + i * dim + first);
        }
    });
    return out;
}

void orthonormalise(Matrix& a, std::size_t dim, std::uint64_t seed) {
    Random random(seed, 0x0a7b0ULL);
    for (std::size_t i = 0; i < dim; ++i) {
        checkpoint();
        float* const row = a.data() + i * dim;
        bool done = normalise(row, dim, 1e-30);
        for (;;) {
            for (int pass = 0; done && pass < 2; ++pass) {
                for (std::size_t j = 0; j < i; ++j) remove_part(row, a.data() + j * dim, dim);
                done = normalise(row, dim, 1e-4);
            }
            if (done) break;
            for (std::size_t k = 0; k < dim; ++k) row[k] = gaussian(random);
            done = normalise(row, dim, 1e-30);
        }
    }
}

Matrix polar_factor(Matrix a, std::size_t dim, int threads) {
    const double norm = frobenius(a, dim);
    const auto scale = static_cast<float>(1.0 / norm);
    for (float& value : a) value *= scale;
    for (int step = 0; step < kPolarSteps; ++step) {
        // a <- a (3 - transpose(a) a) / 2, written for rows: (3 - a transpose(a)) a / 2.
        Matrix square = multiply(a, transpose(a, dim), dim, threads);
        float error = 0.0f;
        for (std::size_t i = 0; i < dim; ++i) {
            for (std::size_t k = 0; k < dim; ++k) {
                float& value = square[i * dim + k];
                const float unit = i == k ? 1.0f : 0.0f;
                error = std::max(error, std::fabs(value - unit));
                value = 1.5f * unit - 0.5f * value;
            }
        }
        if (error < kPolarError) break;
        a = multiply(square, a, dim, threads);
    }
    return a;
}

Matrix principal_axes(const Matrix& symmetric, std::size_t dim, std::vector<double>& eigenvalues,
                      std::uint64_t seed, int threads) {
    Matrix axes(dim * dim);
    Random random(seed, 0xa7e5ULL);
    for (float& value : axes) value = gaussian(random);
    orthonormalise(axes, dim, seed);
    for (int step = 0; step < kAxisSteps; ++step) {
        axes = multiply(axes, symmetric, dim, threads);
        orthonormalise(axes, dim, seed);
    }
    const Matrix product = multiply(axes, symmetric, dim, threads);
    eigenvalues.resize(dim);
    for (std::size_t i = 0; i < dim; ++i) {
        eigenvalues[i] =
            kernels::active().ip_f32(product.data() + i * dim, axes.data() + i * dim, dim);
    }
    return axes;
}

}  // namespace nearfield
