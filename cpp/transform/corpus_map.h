// CorpusMap: a linear map of an index's rows that is never applied to them, c -> M c with
//
//     M = I + U diag(w) V^T    low rank, U and V of dim x rank
//     M = W                    any matrix
//
// Since <q, M c> = <M^T q, c>, a search under M asks for the folded query M^T q; cosine and l2 need one more number
// a row, |M c|, which follows from two thin products, with a = U^T c, b = diag(w) V^T c and G = U^T U
//
//     |M c|^2 = |c|^2 + 2 <a, b> + b^T G b.
//
// Everything is accumulated in float64, in an order that neither level nor threads change. A row that M shortens
// by more than 2^22 is one of zeros: less cannot be told from rounding.
// Cost of a length: 2 dim rank multiply-adds and rank^2 (any matrix: dim^2); of a folded query 3 dim rank.
// Source: own; Adapted Dense Retrieval adapts queries and rows, arXiv:2310.08750 shares one adapter of both.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/view.h"
#include "transform/folded_query.h"

namespace nearfield {

class CorpusMap {
public:
    /// I + U V^T. std::invalid_argument unless both are dim x rank, finite, and |U| |V| is at most 2^40.
    static CorpusMap low_rank(MatrixView<float> u, MatrixView<float> v);

    /// W, dim x dim. std::invalid_argument unless finite and of a Frobenius norm of 0 or from 2^-40 to 2^40.
    static CorpusMap matrix(MatrixView<float> w);

    /// I + sum of weights[i] (maps[i] - I). Of low rank if all are; else a matrix, rounded to float32.
    /// std::invalid_argument where weights leave the norms above.
    static CorpusMap mixture(std::span<const CorpusMap* const> maps,
                             std::span<const double> weights);

    std::size_t dim() const noexcept { return dim_; }
    std::size_t rank() const noexcept { return rank_; }
    bool is_matrix() const noexcept { return is_matrix_; }
    /// M is I, to the last bit.
    bool is_identity() const noexcept { return is_identity_; }
    std::size_t bytes() const noexcept;

    /// U or V, dim x rank in rows; of a matrix v() is W and u() empty.
    std::vector<float> u() const;
    std::vector<float> v() const;

    /// What fold() multiplies with: U^T, rank x dim (of a matrix empty), the weights, and V^T or the matrix.
    std::span<const double> left() const noexcept { return left_; }
    std::span<const double> weights() const noexcept { return weight_; }
    std::span<const double> right() const noexcept { return right_; }

    /// std::invalid_argument for a query that leaves the range of float32.
    FoldedRows fold(MatrixView<float> queries, int threads) const;

    /// Scratch of one thread.
    struct Scratch {
        std::vector<double> rows;
        std::vector<double> products;
        std::vector<double> factors;
        std::vector<double> sums;
    };
    /// Rows that lengths() takes at once.
    static constexpr std::size_t kRows = 32;
    /// |M c| of n <= kRows rows of dim floats, `squares` their |c|^2. next: n rows that will be asked for next, or
    /// null.
    void lengths(const float* rows, std::size_t n, const double* squares, const float* next,
                 Scratch& scratch, double* out) const;

    /// M c.
    void apply(const float* row, float* out) const;

private:
    CorpusMap(std::size_t dim, std::size_t rank, bool is_matrix);
    /// name: for errors.
    static CorpusMap of_matrix(MatrixView<float> w, const char* name);
    static CorpusMap dense_mixture(std::span<const CorpusMap* const> maps,
                                   std::span<const double> weights);
    double added_at(std::size_t row, std::size_t column) const noexcept;
    /// To rows `first` and following of out.
    void fold_some(MatrixView<float> queries, std::size_t first, FoldedRows& out) const;
    void weigh(const double* queries, std::size_t n, std::vector<double>& out) const;
    void finish();
    /// |M c| from M c, or from a, b and G b as above.
    double length(const double* mapped, double square) const noexcept;
    double length(const double* a, const double* b, const double* gram_b,
                  double square) const noexcept;

    std::size_t dim_;
    std::size_t rank_;
    bool is_matrix_;
    bool is_identity_ = false;
    std::vector<double> left_;          // U^T, rank x dim; a matrix: empty
    std::vector<double> right_;         // V^T, rank x dim; a matrix: W
    std::vector<double> weight_;        // of rank; a matrix: empty
    std::vector<double> gram_;          // G, rank x left_width_
    double norm_ = 0.0;                 // of W; or at least that of U diag(w) V^T
    std::size_t width_ = 0;             // of columns_
    std::vector<double> columns_;       // V and U side by side, dim x width_
    std::size_t left_width_ = 0;        // of left_columns_ and gram_
    std::vector<double> left_columns_;  // U, dim x left_width_
    std::size_t row_width_ = 0;         // of right_rows_
    std::vector<double> right_rows_;    // V^T, twice where U is there, x row_width_
};

}  // namespace nearfield
