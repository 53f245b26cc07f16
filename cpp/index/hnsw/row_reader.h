// RowReader: the rows of a store as the graph sees them: floats, of unit length under cosine, and of about
// unit length otherwise, so that neither their squares overflow nor vanish.
//
// Rows that are kept are widened, others are decoded (and stay rotated where their codes are, see
// Quantizer::rotates()); queries have to be given likewise.
#pragma once

#include <cstddef>

#include "base/types.h"
#include "index/search.h"

namespace nearfield {

class RowReader {
public:
    /// No row is longer: outliers of more than so many times the usual length keep their direction only.
    static constexpr double kLongest = 0x1p50;

    /// unit: a power of two that rows are multiplied with, except under cosine. rows must outlive this.
    RowReader(const StoredRows& rows, double unit);

    std::size_t dim() const noexcept { return dim_; }
    Metric metric() const noexcept { return metric_; }
    const StoredRows& stored() const noexcept { return rows_; }
    /// Writes dim() floats, all finite. Decoding may allocate.
    void read(Id row, float* out) const;
    void prefetch(Id row) const noexcept;

    /// The power of two that brings the middle one of some norms of rows 0 .. count - 1 to about 1; 1 under
    /// cosine.
    static double unit_of(const StoredRows& rows, std::size_t count);

private:
    const StoredRows& rows_;
    std::size_t dim_;
    Metric metric_;
    double unit_;
};

}  // namespace nearfield
