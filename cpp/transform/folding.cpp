// CorpusMap, where it is used: folded queries, lengths of mapped rows, and the rows themselves.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "kernels/resolve.h"
#include "transform/corpus_map.h"
#include "transform/finite_check.h"

namespace nearfield {
namespace {

/// Queries folded by one task.
constexpr std::size_t kQueries = 32;
/// Squared lengths below this share of their terms are rounding.
constexpr double kVanishing = 0x1p-44;

/// Rows multiplied at once.
constexpr std::size_t kTile = 4;

/// Memory brings these while others are multiplied.
void ask_for(const float* x, std::size_t n) noexcept {
    constexpr std::size_t kLine = 64 / sizeof(float);
    for (std::size_t k = 0; k < n; k += kLine) __builtin_prefetch(x + k, 0, 2);
}

double high_part(double x) noexcept { return static_cast<double>(static_cast<float>(x)); }

}  // namespace

FoldedRows CorpusMap::fold(MatrixView<float> queries, int threads) const {
    FoldedRows out(queries.rows, dim_);
    FiniteCheck check;
    parallel_for((queries.rows + kQueries - 1) / kQueries, threads, [&](std::size_t task, int) {
        const std::size_t first = task * kQueries;
        const std::size_t n = std::min(kQueries, queries.rows - first);
        fold_some({queries.row(first), n, dim_, queries.stride}, first, out);
        for (std::size_t i = first; i < first + n; ++i) check.after(out.row(i), dim_, i);
    });
    check.raise("its corpus adapter");
    return out;
}

void CorpusMap::fold_some(MatrixView<float> queries, std::size_t first, FoldedRows& out) const {
    struct Memory {
        std::vector<double> wide;
        std::vector<double> factors;
        std::vector<double> folded;
    };
    thread_local Memory memory;
    Memory& m = memory;
    const auto& table = kernels::active();
    const std::size_t n = queries.rows;
    m.wide.resize(n * dim_);
    m.folded.resize(n * row_width_);
    for (std::size_t i = 0; i < n; ++i) {
        std::copy_n(queries.row(i), dim_, m.wide.data() + i * dim_);
    }
    const double* factors = m.wide.data();  // what V^T is multiplied by: of a matrix the query
    if (!is_matrix_) {
        weigh(m.wide.data(), n, m.factors);
        factors = m.factors.data();
    }
    const std::size_t deep = (is_matrix_ ? 1 : 2) * rank_;
    table.factor_products({factors, n, deep, right_rows_.data(), row_width_, m.folded.data()});
    for (std::size_t i = 0; i < n; ++i) {
        const float* const own = is_matrix_ ? nullptr : queries.row(i);
        float* const high = out.row(first + i);
        table.split_f64(m.folded.data() + i * row_width_, own, dim_, high, high + dim_);
        const double squared = table.ip_f32(queries.row(i), queries.row(i), dim_);
        out.set_tail(first + i, {std::sqrt(squared), squared});
    }
}

/// w U^T q of n queries, each number in two parts whose products with float32 are exact.
void CorpusMap::weigh(const double* queries, std::size_t n, std::vector<double>& out) const {
    thread_local std::vector<double> products;
    products.resize(n * left_width_);
    out.resize(2 * n * rank_);
    kernels::active().factor_products(
        {queries, n, dim_, left_columns_.data(), left_width_, products.data()});
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < rank_; ++j) {
            const double factor = products[i * left_width_ + j] * weight_[j];
            out[2 * i * rank_ + j] = high_part(factor);
            out[(2 * i + 1) * rank_ + j] = high_part(factor - high_part(factor));
        }
    }
}

void CorpusMap::lengths(const float* rows, std::size_t n, const double* squares, const float* next,
                        Scratch& scratch, double* out) const {
    const auto& table = kernels::active();
    scratch.rows.resize(kRows * dim_);
    scratch.products.resize(kRows * width_);
    std::copy_n(rows, n * dim_, scratch.rows.data());
    for (std::size_t i = 0; i < n; i += kTile) {
        const std::size_t now = std::min(kTile, n - i);
        if (next != nullptr) ask_for(next + i * dim_, now * dim_);
        table.factor_products({scratch.rows.data() + i * dim_, now, dim_, columns_.data(), width_,
                               scratch.products.data() + i * width_});
    }
    const double* const products = scratch.products.data();
    if (is_matrix_) {
        for (std::size_t i = 0; i < n; ++i) out[i] = length(products + i * width_, squares[i]);
        return;
    }
    scratch.factors.resize(kRows * rank_);
    scratch.sums.resize(kRows * left_width_);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < rank_; ++j) {
            scratch.factors[i * rank_ + j] = products[i * width_ + j] * weight_[j];
        }
    }
    table.rounded_products(
        {scratch.factors.data(), n, rank_, gram_.data(), left_width_, scratch.sums.data()});
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = length(products + i * width_ + rank_, scratch.factors.data() + i * rank_,
                        scratch.sums.data() + i * left_width_, squares[i]);
    }
}

double CorpusMap::length(const double* mapped, double square) const noexcept {
    double sum = 0.0;
    for (std::size_t j = 0; j < rank_; ++j) sum += mapped[j] * mapped[j];
    return sum > kVanishing * kVanishing * norm_ * norm_ * square ? std::sqrt(sum) : 0.0;
}

double CorpusMap::length(const double* a, const double* b, const double* gram_b,
                         double square) const noexcept {
    double cross = 0.0;
    double quad = 0.0;
    for (std::size_t i = 0; i < rank_; ++i) {
        cross += a[i] * b[i];
        quad += gram_b[i] * b[i];
    }
    const double terms = square + 2.0 * std::fabs(cross) + std::fabs(quad);
    const double squared = square + 2.0 * cross + quad;
    return squared > kVanishing * terms ? std::sqrt(squared) : 0.0;
}

void CorpusMap::apply(const float* row, float* out) const {
    if (is_identity_) {
        std::copy_n(row, dim_, out);
        return;
    }
    std::vector<double> mapped(dim_, 0.0);
    if (!is_matrix_) mapped.assign(row, row + dim_);
    for (std::size_t j = 0; j < rank_; ++j) {
        double product = 0.0;
        for (std::size_t k = 0; k < dim_; ++k) {
            product += right_[j * dim_ + k] * static_cast<double>(row[k]);
        }
        if (is_matrix_) {
            mapped[j] = product;
            continue;
        }
        product *= weight_[j];
        for (std::size_t k = 0; k < dim_; ++k) mapped[k] += product * left_[j * dim_ + k];
    }
    for (std::size_t k = 0; k < dim_; ++k) out[k] = static_cast<float>(mapped[k]);
}

}  // namespace nearfield
