// FoldedQuery: a query that a linear map of the rows was folded into, as searches under it take it.
//
// <q, M x> = <M^T q, x>. The folded query f = M^T q is computed in float64 and handed on as two float32 vectors,
// f = high + low to 48 bits: scans look at `high` alone, exact scores at both, so that folding rounds no more
// than float64 scores do. One row of a matrix holds `high`, `low` and what scores need of the query itself; its
// columns are those of `high`.
// Source: own; docs/accuracy.md.
#pragma once

#include <cstddef>
#include <cstring>

#include "base/buffer.h"
#include "base/types.h"
#include "base/view.h"

namespace nearfield {

/// What stands behind `high` and `low`.
struct FoldedTail {
    double norm;     // |q|
    double squared;  // |q|^2
};

/// Bytes of one row.
constexpr std::size_t folded_stride(std::size_t dim) noexcept {
    return round_up(2 * dim * sizeof(float) + sizeof(FoldedTail), 64);
}

inline const float* low_of(const float* query, std::size_t dim) noexcept { return query + dim; }

inline FoldedTail tail_of(const float* query, std::size_t dim) noexcept {
    FoldedTail tail;
    std::memcpy(&tail, query + 2 * dim, sizeof tail);
    return tail;
}

/// Rows of folded queries.
class FoldedRows {
public:
    FoldedRows(std::size_t rows, std::size_t dim)
        : rows_(rows), dim_(dim), memory_(rows * folded_stride(dim)), data_(memory_.as<float>()) {}

    float* row(std::size_t i) noexcept { return data_ + i * (folded_stride(dim_) / sizeof(float)); }
    void set_tail(std::size_t i, const FoldedTail& tail) noexcept {
        std::memcpy(row(i) + 2 * dim_, &tail, sizeof tail);
    }
    MatrixView<float> view() const noexcept { return {data_, rows_, dim_, folded_stride(dim_)}; }

private:
    std::size_t rows_;
    std::size_t dim_;
    Buffer memory_;  // zeros that nobody has to write
    float* data_;
};

}  // namespace nearfield
