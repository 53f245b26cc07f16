// SignView: the first planes of rotated codes in blocks of 32 rows, to be read in order; SignQuery: one
// query as tables of look-ups over them. One pass answers which rows may still belong to the answer.
//
// The query is taken as signs times weights of 5 bits, step * weight ~ |z|, so a row's sum S of the weights
// at matching signs gives <z,y> = step * (S - W / 2), W the sum of all. What the weights lose is under 4 %
// of what one bit loses.
// Ranks compare rows for one query and centre: <q-c,r> + <c,r> under ip, <q-c,r> - |r|^2 / 2 under l2.
// Reported is a row's upper bound of its rank (estimator.h says how sure).
// Blocks about many centres can share one query: see put() and SignQuery::set_distance().
// Memory: rotated_dim / 8 + 12 bytes a row. Cost: 1.9 ns a row of 384 dims, 0.95 ns of 128, one AVX-512
// thread.
// Source: estimator.h; look-ups as in kernels/avx512/rotated.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/types.h"
#include "kernels/rotated.h"
#include "quant/rabitq/codec.h"
#include "quant/rabitq/estimator.h"

namespace nearfield {

/// Where one block of kSignRows rows is written.
struct SignBlock {
    std::uint8_t* planes;  // bytes * kSignRows
    float* scale;          // kSignRows, like those below
    float* bias;
    float* error;

    /// A row's first plane, plane_size() bytes, and its factors. shift is added to the rank: with
    /// -unbiased * <Rc,y> there, one query rotated without a centre serves blocks about any centre.
    /// metric: l2 or ip.
    void put(std::size_t lane, const std::uint8_t* plane, std::size_t bytes, Metric metric,
             const RabitqFactors& factors, double shift) const noexcept;

    /// A row about which nothing is known: every scan reports it.
    void put_unknown(std::size_t lane) const noexcept;

    /// Row `from` of another block.
    void copy(std::size_t lane, const SignBlock& other, std::size_t from,
              std::size_t bytes) const noexcept;
};

class SignQuery;

struct SignView {
    const std::uint8_t* planes;
    const float* scale;  // all three readable up to a multiple of kSignRows
    const float* bias;
    const float* error;
    std::size_t bytes;  // of a plane
    std::size_t count;  // rows

    /// Rows [first, first + count), first a multiple of 32, with upper bounds not below threshold. Returns the
    /// number of hits; rows count from first.
    std::size_t scan(const SignQuery& query, std::size_t first, std::size_t count, float threshold,
                     const kernels::SignHits& hits) const noexcept;
};

class SignQuery {
public:
    SignQuery() = default;

    /// The query times factor. distance: |q - c| for the blocks' centre, where `query` was rotated without it;
    /// sigmas = 0: certain.
    SignQuery(const RabitqCodec& codec, const RotatedQuery& query, double distance, double sigmas,
              double factor = 1.0);

    /// The rank that belongs to a score, for the centre c of the blocks; see CodeScorer for scores.
    static double rank_of(Metric metric, double score, double distance,
                          double with_centre) noexcept {
        return metric == Metric::kIp ? score - with_centre : 0.5 * (score + distance * distance);
    }

    /// Another centre: |q - c|.
    void set_distance(double distance) noexcept;

    const std::uint8_t* table() const noexcept { return table_.data(); }
    float step() const noexcept { return step_; }
    float offset() const noexcept { return offset_; }
    float margin() const noexcept { return margin_; }

    /// How far below its upper bound a row's rank may be, but for rounding(): rows of this scale and error.
    double width(float scale, float error) const noexcept {
        return 2.0 * (static_cast<double>(scale) * loss_ +
                      static_cast<double>(error) * static_cast<double>(margin_));
    }
    /// What put() has rounded biases up by, at most, for rows and centres of this length.
    static double rounding(double length, float error) noexcept {
        return 0x1p-15 * length * (5.0 * length + static_cast<double>(error));
    }

private:
    void build_table(const std::vector<float>& z, const std::vector<std::uint8_t>& weight);

    std::vector<std::uint8_t> table_;
    float step_ = 0.0f;
    float offset_ = 0.0f;
    float margin_ = 0.0f;
    double loss_ = 0.0;  // of weights
    double spread_ = 1.0;
};

}  // namespace nearfield
