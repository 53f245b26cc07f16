// WalkCodes: rows in 4 bits a dimension, rotated, by which a walk over the graph ranks them.
//
// A record is a code of RabitqCodec with its numbers in another order, followed by two floats: for a row x,
// r = R(x - centre) is about unbiased * y, y the code minus 7.5, and
//     score = unbiased * <q, y> + bias        ip, cosine: q the rotated query, bias 0
//                                             l2: q = R(query - centre), bias -|r|^2 / 2
// which differs from the true order of scores by the code's error alone; constants of the query are left
// out. Queries are 8 bits a dimension. Sums are of whole numbers: the same bits on every level.
// Where a map has the rows (index/row_adapter.h), q is the folded query, nothing is left out, and each node has a
// term of its own:
//     score = term * (<q, centre> + unbiased * <q, y>)     cosine: term = |x| / |Mx|
//     score = term + <q, centre> + unbiased * <q, y>       l2: term = -|Mx|^2 / 2
// A record holds 64 bytes for each full 128 dimensions, byte j of them number j (low half) and j + 64; of
// what remains, ceil(n / 2) bytes, byte j numbers j and j + ceil(n / 2); then `unbiased` and `bias`.
// Memory: dim / 2 + 8 bytes a row, rounded up to 8, and at least 64 for each 128 dimensions begun: 200 for 384
// dimensions, 64 for 100.
// Source: quant/rabitq/codec.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "index/column.h"
#include "index/hnsw/row_reader.h"
#include "quant/rabitq/codec.h"

namespace nearfield {

/// A query as gather_u4 takes it.
struct WalkQuery {
    const float* terms = nullptr;  // of nodes, see above; null: rows as they are
    float base = 0.0f;             // <q, centre>, where there are terms
    /// The score of a row that lies where the query is, infinite where that is not known; a score that is lower by
    /// d belongs to a squared distance of about 2 d.
    double highest = std::numeric_limits<double>::infinity();
    double noise = 0.0;  // about the standard deviation of scores from their true values
    std::vector<std::int8_t> numbers;
    float step = 0.0f;           // of what a code's sum is multiplied with
    float offset = 0.0f;         // and added
    std::vector<float> rotated;  // scratch
};

class WalkCodes {
public:
    WalkCodes() = default;
    /// centre: dim floats as RowReader gives rows; unit as it multiplies them.
    WalkCodes(std::size_t dim, Metric metric, std::uint64_t seed, std::vector<float> centre,
              double unit);

    std::size_t count() const noexcept { return stride_ == 0 ? 0 : records_.bytes() / stride_; }
    std::size_t bytes() const noexcept { return records_.bytes(); }
    const Column& records() const noexcept { return records_; }
    std::span<const float> centre() const noexcept { return *centre_; }
    double unit() const noexcept { return unit_; }

    /// ip: how long rows are, where they are about equally long; infinite, as it is at first, where not.
    void set_length(double length) noexcept { length_ = length; }
    double length() const noexcept { return length_; }

    /// The codes of these rows follow those that are there. If this throws, nothing has changed.
    void append(const RowReader& rows, std::span<const Id> which, int threads);
    /// Those of these nodes alone, in this order.
    WalkCodes taken(std::span<const Id> nodes, int threads) const;

    /// query: dim floats, multiplied by unit first: unit() for those of a user, 1 for what RowReader gives.
    void prepare(const float* query, double unit, WalkQuery& out) const;
    /// The same of a folded query of a user; terms: as term() makes them, null under ip.
    void prepare_folded(const float* query, const float* terms, WalkQuery& out) const;
    /// Of a row of this length that a map makes so long.
    float term(double norm, double mapped) const noexcept;
    /// Larger is nearer; finite whatever rows and queries are.
    void scores(const WalkQuery& query, const Id* nodes, std::size_t n, float* out) const noexcept;

    void prefetch(Id node) const noexcept {
        const std::uint8_t* const record = records_.data() + std::size_t{node} * stride_;
        for (std::size_t at = 0; at < stride_; at += 64) __builtin_prefetch(record + at);
        __builtin_prefetch(record + stride_ - 1);
    }

private:
    class Encoder;
    /// q = (query * unit - centre) * factor, not rotated; returns the factor.
    double place(const float* query, double unit, const float* centre, WalkQuery& out) const;
    void quantise(WalkQuery& query) const;
    /// Scores of rows as they are, as a map has them.
    void apply_terms(const WalkQuery& query, const Id* nodes, std::size_t n,
                     float* scores) const noexcept;
    void set_highest(const float* q, bool is_scaled, WalkQuery& query) const;

    std::size_t dim_ = 0;
    Metric metric_ = Metric::kL2;
    double unit_ = 1.0;
    double length_ = std::numeric_limits<double>::infinity();
    std::size_t code_bytes_ = 0;  // of a record, before its floats
    std::size_t depth_ = 0;       // what gather_u4 reads of it
    std::size_t stride_ = 0;
    std::shared_ptr<const RabitqCodec> codec_;
    std::shared_ptr<const std::vector<float>> centre_;
    Column records_;
};

}  // namespace nearfield
