// RabitqCodec: one row, relative to a centre, as a rotated grid point with 1 to 8 bits a dimension.
//
// r = R(x - c) is approached by a multiple of y, y[k] = code[k] - (2^bits - 1) / 2: a grid without zero, so
// the top bits are the signs of r and any prefix of the bit planes is a code of fewer bits. The scale of
// the grid is searched for the smallest angle between r and y. Two multiples of y are kept:
//
//   scale    = <r,y> / |Py|^2   closest to r: what decode() and stored rows use
//   unbiased = |r|^2 / <r,y>    its error e = r - unbiased * y is orthogonal to r, so that over random
//                               rotations <q,e> has mean zero and deviation |q| |e| / sqrt(dim - 1)
//
// (P takes away the dimensions the rotation has added.) From both, |Pe| = |r| sqrt(unbiased / scale - 1)
// and the decoded length is |r| sqrt(scale / unbiased).
//
// Layout, code_size() = 16 + bits * rotated_dim / 8 bytes, little-endian:
//   0   float32  scale
//   4   float32  unbiased
//   8   float32  norm    |x - c|
//   12  float32  along   <c, x - c> / norm
//   16  bit planes, highest first; bit j of byte g of a plane is dimension 8 g + j
// A row at the centre has zeros in all four; one too near to tell (2^-100) keeps its norm only. Any bytes
// decode to something finite.
// Cost: rotation and 12 passes over registers' worth of row; 1 bit needs no search.
// Source: codes, both factors: Gao & Long, "RaBitQ: quantizing high-dimensional vectors with a theoretical
// error bound for approximate nearest neighbor search" (SIGMOD 2024), section 3; more bits and the search
// for a scale: Gao et al., "Practical and asymptotically optimal quantization of high-dimensional vectors
// in Euclidean space for approximate nearest neighbor search" (SIGMOD 2025), section 3. Twelve trials
// about the best step for a Gaussian (Max, "Quantizing for minimum distortion", IRE 1960), instead of
// every critical value, cost 0.3 % of squared error at 4 bits and 2 to 5 % at 8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "transform/rotate.h"

namespace nearfield {

struct RabitqFactors {
    float scale;
    float unbiased;
    float norm;
    float along;

    /// |x - c - unbiased * R^T y|, rounded up; covers the rounding of the rotation as well.
    float error() const noexcept;
};

/// The largest norm of x - c that has a code.
inline constexpr double kMostRabitqNorm = 1e36;

/// v = (a - b) * unit, b null for zero; returns unit, a power of two that brings the largest element of
/// both to about 1, so that nothing overflows whatever the norms are.
double scaled_difference(const float* a, const float* b, std::size_t dim, float* v) noexcept;

class RabitqCodec {
public:
    static constexpr std::size_t kHeader = 16;

    /// Memory for one encoding or decoding thread.
    struct Scratch {
        explicit Scratch(const RabitqCodec& codec);
        std::vector<float> row;          // padded with zeros to kGridLanes
        std::vector<float> grid;         // a point of the grid on its way back
        std::vector<std::uint8_t> code;  // a byte a dimension
        std::vector<std::uint8_t> sign;  // the first plane, a byte a dimension
    };

    /// std::invalid_argument for bits outside 1..8 or dim = 0.
    RabitqCodec(std::size_t dim, int bits, std::uint64_t seed);

    std::size_t dim() const noexcept { return rotation_.dim(); }
    std::size_t rotated_dim() const noexcept { return rotation_.rotated_dim(); }
    int bits() const noexcept { return bits_; }
    const Rotation& rotation() const noexcept { return rotation_; }
    std::size_t plane_size() const noexcept { return rotated_dim() / 8; }
    std::size_t code_size() const noexcept {
        return kHeader + static_cast<std::size_t>(bits_) * plane_size();
    }
    /// What is taken from a byte of code to get y.
    double middle() const noexcept { return half_ - 0.5; }

    /// x finite; centre of dim floats or null. Where signs is given it receives the factors of the first
    /// plane alone. False, and nothing written, where |x - c| exceeds kMostRabitqNorm.
    bool encode(const float* x, const float* centre, Scratch& scratch, std::uint8_t* code,
                RabitqFactors* signs = nullptr) const noexcept;

    /// Writes dim floats.
    void decode(const std::uint8_t* code, const float* centre, Scratch& scratch,
                float* x) const noexcept;

    /// Factors of a code; bytes that encode() never writes count as a row at the centre.
    RabitqFactors factors(const std::uint8_t* code) const noexcept;

    /// One byte a dimension.
    void unpack(const std::uint8_t* code, std::uint8_t* bytes) const noexcept;

private:
    float best_inverse(const Scratch& scratch, double norm) const noexcept;
    double seen_norm(const std::uint8_t* bytes, double middle, Scratch& scratch) const noexcept;
    RabitqFactors fit(const std::uint8_t* bytes, double middle, double squared,
                      Scratch& scratch) const noexcept;

    Rotation rotation_;
    int bits_;
    float half_;  // levels on either side of zero
};

}  // namespace nearfield
