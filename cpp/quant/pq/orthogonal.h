// Dense orthogonal matrices for OPQ, dim x dim row-major in float32 with float64 products where
// rounding would add up: nearest rotation, orthonormal rows, principal axes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nearfield {

using Matrix = std::vector<float>;

/// a b.
Matrix multiply(const Matrix& a, const Matrix& b, std::size_t dim, int threads);
Matrix transpose(const Matrix& a, std::size_t dim);

/// Makes the rows orthonormal, first rows first; rows that depend on earlier ones are drawn anew.
/// Source: Gram-Schmidt with one repetition (Giraud, Langou, Rozloznik, 2005).
void orthonormalise(Matrix& a, std::size_t dim, std::uint64_t seed);

/// The orthogonal polar factor of a, the rotation that maximises trace(R transpose(a)), by
/// Newton-Schulz iterations; rotations that a's small singular values leave open may be anything near.
/// Source: Higham, "Functions of Matrices", 2008, section 8.3.
Matrix polar_factor(Matrix a, std::size_t dim, int threads);

/// Rows: axes of a symmetric matrix by falling eigenvalue, near enough to tell large from small, by
/// orthogonal iteration; eigenvalues are written too.
Matrix principal_axes(const Matrix& symmetric, std::size_t dim, std::vector<double>& eigenvalues,
                      std::uint64_t seed, int threads);

}  // namespace nearfield
