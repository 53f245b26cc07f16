// Rotation: a seeded orthogonal matrix that costs n log n, after which every direction looks alike.
//
// Rounds of random signs and Hadamard transforms. Where the dimension is a power of two, three rounds
// over everything. Otherwise four, each over the first or, in turn, the last power of two elements,
// followed by sums and differences of both halves: without these the ends of a dimension just below a power
// of two hardly meet. One-hot rows, the worst case, then become as even as under a dense random matrix to
// 1 % (mean |cos| with the signs 0.79 against 0.80).
// The dimension grows to a multiple of 8 (zeros in front of the matrix), so that sign bits fill bytes: 104
// instead of 100, not 128, since every dimension is paid for in every code.
// The same bits on every level and for any number of threads. Cost: 0.4 us for 384 dims (AVX-512, one thread).
// Source: Ailon & Chazelle, "The fast Johnson-Lindenstrauss transform and approximate nearest neighbors"
// (SIAM J. Comput. 2009), section 2; overlapping windows and Kac's walk between halves: Gao et al.,
// "Practical and asymptotically optimal quantization of high-dimensional vectors in Euclidean space for
// approximate nearest neighbor search" (SIGMOD 2025).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/rotated.h"

namespace nearfield {

class Rotation {
public:
    /// std::invalid_argument for dim = 0.
    Rotation(std::size_t dim, std::uint64_t seed);

    std::size_t dim() const noexcept { return dim_; }
    /// Elements of a rotated row: dim rounded up to a multiple of 8.
    std::size_t rotated_dim() const noexcept { return rotated_; }
    std::uint64_t seed() const noexcept { return seed_; }

    /// In place: x has room for rotated_dim() floats, of which those past dim() are set to zero first.
    void apply(float* x) const noexcept;
    /// Back, in place: exact but for float32 rounding. What was added by apply() comes back as zero.
    void apply_transposed(float* x) const noexcept;

    kernels::RotationPlan plan() const noexcept;

private:
    std::size_t dim_;
    std::size_t rotated_;
    std::size_t window_;
    std::size_t rounds_;
    std::uint64_t seed_;
    std::vector<float> factors_;
};

}  // namespace nearfield
