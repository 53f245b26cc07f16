// ExactScorer: the reference score of a query and a stored row, in float64.
//
// key(): larger is better and ordered exactly as the metric orders (ip: <q,x>; cosine: <q,x>/|x|;
// l2: -|q-x|^2). score(): what the user sees, from a key. The kernels fix the summation order, so keys
// are the same bits on every level, thread count and batch size.
// Rows can be scored as a linear map M would have them: by folded queries (transform/folded_query.h) and the
// lengths of mapped rows. Keys of l2 are then 2 <f,x> - |Mx|^2, which orders rows in the same way.
#pragma once

#include <cstddef>

#include "base/types.h"
#include "base/view.h"
#include "kernels/resolve.h"
#include "quant/decoded_rows.h"
#include "transform/folded_query.h"

namespace nearfield {

class ExactScorer {
public:
    /// norms: |x| of every row, needed for cosine only (else null); with folded queries |Mx|, needed for l2 as
    /// well.
    ExactScorer(Metric metric, RowsView rows, const double* norms, bool is_folded = false);

    /// Rows as their codes say. Under cosine they count as unit vectors: they were when they were encoded.
    /// norms: with folded queries |Mx| (l2), or how much longer M makes a row (cosine); else null.
    ExactScorer(Metric metric, const DecodedRows& rows, const double* norms = nullptr,
                bool is_folded = false);

    double key(const float* query, Id row) const {
        if (decoded_ != nullptr) return key_decoded(query, row);
        return key_of(query, rows_.row(row), row);
    }

    /// The same from the row's elements, float32 where rows are decoded.
    double key_of(const float* query, const void* x, Id row) const {
        const double raw = score_(query, x, rows_.cols);
        switch (metric_) {
            case Metric::kIp: return raw;
            case Metric::kL2:
                if (!is_folded_) return -raw;
                return 2.0 * raw - norms_[row] * norms_[row];
            case Metric::kCosine:
                if (norms_ == nullptr) return raw;
                return norms_[row] > 0.0 ? raw / norms_[row] : 0.0;
        }
        return raw;
    }

    /// query_norm: as below.
    double score(double key, double query_norm) const noexcept;
    /// The other way round.
    double key_at(double score, double query_norm) const noexcept;

    /// What scores need of a query beside keys: |q| (cosine), |q|^2 (l2, folded), else 1.
    double query_norm(const float* query) const noexcept;

    void prefetch(Id row) const noexcept;

    Metric metric() const noexcept { return metric_; }

private:
    using Score = double (*)(const float*, const void*, std::size_t);

    double key_decoded(const float* query, Id row) const;

    Metric metric_;
    RowsView rows_;
    const DecodedRows* decoded_ = nullptr;
    const double* norms_;
    bool is_folded_;
    Score score_;
};

/// <a,b> of float32 values in the canonical order.
double dot(const float* a, const float* b, std::size_t dim) noexcept;

/// <a,b> in float32, off by at most rough_dot_error(dim, |a| |b|).
float rough_dot(const float* a, const float* b, std::size_t dim) noexcept;
double rough_dot_error(std::size_t dim, double norms) noexcept;

/// |x| of float32 values in the canonical order.
double norm_of(const float* x, std::size_t dim) noexcept;

bool all_finite(const float* x, std::size_t dim) noexcept;

/// Widens count elements of a stored row to float32, exactly.
void widen(DType dtype, const void* row, float* out, std::size_t dim) noexcept;

/// The same of a row as callers hold it: stored int8 rows are excess-128.
void widen_plain(DType dtype, const void* row, float* out, std::size_t dim) noexcept;

/// x / |x|; zero stays zero.
void normalise(float* x, std::size_t dim) noexcept;

}  // namespace nearfield
