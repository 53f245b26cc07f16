// How far a score of pass 1 can be from the exact one: the bound that makes a scan exact.
//
// q / t = p + d: p what is multiplied, d what rounding the query left. x = c + r: c what is multiplied, r
// what rounding the row left (its own step included; under cosine both over |x|).
//   |<q, x> / t - <p, c>| <= |d| |x| + |p| |r|                        Cauchy-Schwarz, twice
// Float32 sums of exact products lose at most (dim + 32) 2^-22 |p| |c|: twice what a unit does that adds 16
// products with 24 bits after the largest. The rest is the rounding of scale, bias and exact key.
// That leaves room for the low part of a folded query (folded.cu), which a scan does not multiply: 2^-24 |q|
// at most, as each of its elements is what rounding to float32 left.
// What would overflow or vanish in float32 gets an infinite margin: everything is then scored exactly.
// Source: own; docs/accuracy.md has the bound of the CPU's scans, which is the same one.
#pragma once

#include "device.cuh"

namespace nearfield {

struct Margin {
    double norm;      // |q| / t, and a little more than |p|
    double residual;  // |d|
    double step;      // t
    bool sums_round;  // float32 sums, not whole numbers
};

/// limits: of all rows, the largest |x| and |r|; see row_constants.cu.
static __device__ float margin_of(const Margin& query, const float* limits, u32 dim, u32 metric) {
    const double row = static_cast<double>(limits[0]),
                 row_residual = static_cast<double>(limits[1]);
    const double product = query.norm * row, half_square = 0.5 * row * row / query.step;
    const double tiny = 0x1p-22, far = 0x1p100;
    if (!(product < far && half_square < far && row_residual < far)) return infinity();
    const double terms = query.sums_round ? static_cast<double>(dim) + 32.0 : 8.0;
    double margin = query.residual * row + (query.norm + query.residual) * row_residual +
                    terms * tiny * (product + query.norm * row_residual) +
                    static_cast<double>(dim) * 0x1p-120;
    if (metric == kL2) {
        const double sum = query.norm + row / query.step;
        margin += 4.0 * tiny * half_square + 0x1p-40 * sum * sum * query.step;
    }
    return __double2float_ru(margin * (1.0 + 1e-6));
}

}  // namespace nearfield
