// RabitqEstimator: what a code says about the score of the row it was made from, and how surely.
//
// With z = R(q - c), y, e and the factors of codec.h, u = unbiased:
//   ip   <q,x>      = <q,c> + <c,r> + <q-c,r>
//   l2   -|q-x|^2   = -|q-c|^2 - |r|^2 + 2 <q-c,r>       and   <q-c,r> = u <z,y> + <q-c,e>
// The estimate leaves the last term out. Two bounds on it:
//   certain       |q-c| |e|, Cauchy-Schwarz: no assumption, holds for every pair
//   statistical   sigmas * |q-c| |e| / sqrt(dim - 1): e is orthogonal to r and, over random rotations,
//                 has no preferred direction otherwise; then <q-c,e> has mean 0 and at most that deviation,
//                 with tails lighter than a Gaussian's. One pair in 20 is outside 2 sigmas, in 15,000 outside
//                 4.
// Both include what float32 rounds. CodeScorers score the decoded row instead, which is what an index
// stores; estimates are for bounds on the original rows: what to look at more closely.
// Cost: one pass over the code, or the integer kernels through RotatedQuery.
// Source: Gao & Long (SIGMOD 2024), section 3.2 and theorem 3.2 (they use 1.9 sigmas for one bit).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/types.h"
#include "quant/rabitq/codec.h"

namespace nearfield {

/// R(q - c) with the sums every score needs; norms in the caller's units.
struct RotatedQuery {
    RotatedQuery(const RabitqCodec& codec, const float* query, const float* centre);

    /// <R(q - c), y> of an unpacked code.
    double dot(const std::uint8_t* bytes) const noexcept;

    std::vector<float> z;  // times unit
    double unit;
    double total;   // sum of z
    double norm;    // |q - c|
    double middle;  // see RabitqCodec
};

struct RabitqEstimate {
    double score;  // larger is better, as CodeScorer's
    double error;  // the true score is within score +- error
};

class RabitqEstimator {
public:
    /// metric: l2 or ip. centre as given to encode(). The codec must outlive the estimator.
    RabitqEstimator(const RabitqCodec& codec, Metric metric, const float* query,
                    const float* centre);

    /// sigmas = 0: the certain bound.
    RabitqEstimate estimate(const std::uint8_t* code, double sigmas) const;

    /// From <R(q - c), y> computed elsewhere, off by at most dot_error.
    RabitqEstimate from_dot(double dot, double dot_error, const RabitqFactors& f,
                            double sigmas) const noexcept;

    const RotatedQuery& query() const noexcept { return query_; }

private:
    const RabitqCodec& codec_;
    Metric metric_;
    RotatedQuery query_;
    double centre_norm_;
    double with_centre_;  // <q,c>
};

}  // namespace nearfield
