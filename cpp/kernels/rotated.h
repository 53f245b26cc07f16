// Arguments of the kernels for rotated codes: the rotation, and the scan over sign bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nearfield::kernels {

/// Rounds of: multiply by factors, Hadamard transform of one window (the first `window` elements in even
/// rounds, the last in odd ones), sum and difference of both halves where the window is not everything.
struct RotationPlan {
    const float* factors;  // rounds x dim: a sign times what makes the round orthogonal
    std::size_t dim;       // even
    std::size_t window;    // power of two, dim / 2 < window <= dim
    std::size_t rounds;
};

/// Elements of grid kernels go to this many lanes.
inline constexpr std::size_t kGridLanes = 32;

/// Points of a grid with `half` levels on either side of zero: y = clamp(floor(v), -half, half - 1) + 0.5.
struct GridFit {
    float dot;   // sum of x * y
    float norm;  // sum of y * y
};

inline constexpr std::size_t kSignRows = 32;     // rows of one block
inline constexpr std::int32_t kMostWeight = 31;  // eight weights fit a byte

/// Bytes of the table for rows of `bytes` sign bytes.
constexpr std::size_t sign_table_bytes(std::size_t bytes) noexcept {
    return (bytes + 1) / 2 * 2 * 64;
}

/// Sign bits of blocks of 32 rows against one query.
///
/// Block: byte g of row j at g * 32 + j, that is 8 dims of 32 rows side by side; blocks follow each other.
/// Table: for every byte g the sum a row gains by the low four bits v at g * 32 + v and again 16 bytes
/// further; by the high four bits in the same way in the second half of the table. The bytes of the last
/// g of an odd number are followed by zeros. Two entries of a g add up to less than 256. With S the sum of
/// a row, float32, each operation rounded,
///     upper = (scale[i] * (step * S + offset) + bias[i]) + error[i] * margin
/// and the row is reported, in row order, unless upper < threshold.
/// All row arrays are readable up to a multiple of 32 rows.
struct SignScan {
    const std::uint8_t* blocks;
    std::size_t bytes;  // sign bytes of a row
    std::size_t count;  // rows
    const std::uint8_t* table;
    const float* scale;
    const float* bias;
    const float* error;
    float step;
    float offset;
    float margin;
    float threshold;
};

/// Room for count hits, and for this many more that may be overwritten.
inline constexpr std::size_t kSignSlack = 16;

struct SignHits {
    float* upper;
    std::uint32_t* row;
};

}  // namespace nearfield::kernels
