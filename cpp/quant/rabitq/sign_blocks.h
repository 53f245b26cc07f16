// SignBlocks: the first planes of rotated codes in blocks of 32 rows, to be read in order; SignQuery: one
// query as tables of look-ups over them. One pass answers which rows may still belong to the answer.
//
// The query is taken as signs times weights of 6 bits, step * weight ~ |z|, so a row's sum S of the weights
// at matching signs gives <z,y> = step * (S - W / 2), W the sum of all. What the weights lose is under 2 %
// of what one bit loses.
// Ranks compare rows for one query and centre: <q-c,r> + <c,r> under ip, <q-c,r> - |r|^2 / 2 under l2.
// Reported is a row's upper bound of its rank (estimator.h says how sure).
// Blocks about many centres can share one query: see append() and SignQuery::set_distance().
// Memory: rotated_dim / 8 + 12 bytes a row. Cost: 1.9 ns a row of 384 dims, 0.95 ns of 128, one AVX-512
// thread; 3 us and 1 us a query to set up.
// Source: estimator.h; look-ups as in kernels/avx512/rotated.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/types.h"
#include "kernels/rotated.h"
#include "quant/rabitq/codec.h"
#include "quant/rabitq/estimator.h"

namespace nearfield {

class SignBlocks {
public:
    /// plane_size: RabitqCodec::plane_size(). metric: l2 or ip.
    SignBlocks(std::size_t plane_size, Metric metric) : bytes_(plane_size), metric_(metric) {}

    /// A row's first plane and its factors. shift is added to the rank: with -unbiased * <Rc,y> there, one
    /// query rotated without a centre serves blocks about any centre.
    void append(const std::uint8_t* plane, const RabitqFactors& factors, double shift = 0.0);

    std::size_t size() const noexcept { return count_; }

    /// Rows [first, first + count), first a multiple of 32, with upper bounds not below threshold. Returns the
    /// number of hits; rows count from first.
    std::size_t scan(const class SignQuery& query, std::size_t first, std::size_t count,
                     float threshold, const kernels::SignHits& hits) const noexcept;

private:
    std::size_t bytes_;
    Metric metric_;
    std::size_t count_ = 0;
    Buffer blocks_;
    std::vector<float> scale_;
    std::vector<float> bias_;
    std::vector<float> error_;
};

class SignQuery {
public:
    /// distance: |q - c| for the blocks' centre, where `query` was rotated without it; sigmas = 0: certain.
    SignQuery(const RabitqCodec& codec, const RotatedQuery& query, double distance, double sigmas);

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

private:
    void build_table(const std::vector<float>& z, const std::vector<std::uint8_t>& weight);

    std::vector<std::uint8_t> table_;
    float step_;
    float offset_;
    float margin_ = 0.0f;
    double spread_;
};

}  // namespace nearfield
