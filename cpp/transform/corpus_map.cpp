#include "transform/corpus_map.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "base/parallel.h"
#include "kernels/resolve.h"

namespace nearfield {
namespace {

/// Queries folded by one task.
constexpr std::size_t kQueries = 32;
/// Squared lengths below this share of their terms are rounding.
constexpr double kVanishing = 0x1p-44;
constexpr double kMostNorm = 0x1p40;

/// Frobenius norm. Throws where an element is not finite.
double norm_of_all(MatrixView<float> x, const char* name) {
    double sum = 0.0;
    for (std::size_t i = 0; i < x.rows; ++i) {
        for (std::size_t k = 0; k < x.cols; ++k) {
            const auto value = static_cast<double>(x.row(i)[k]);
            if (!std::isfinite(value)) {
                throw std::invalid_argument(std::string(name) + ": row " + std::to_string(i) +
                                            " holds NaN or infinity; expected finite values");
            }
            sum += value * value;
        }
    }
    return std::sqrt(sum);
}

/// Rows side by side: element (j, k) of `rows` x dim becomes (k, first + j) of dim x width.
void transpose_into(const std::vector<double>& from, std::size_t rows, std::size_t dim,
                    std::vector<double>& to, std::size_t width, std::size_t first) {
    for (std::size_t j = 0; j < rows; ++j) {
        for (std::size_t k = 0; k < dim; ++k) to[k * width + first + j] = from[j * dim + k];
    }
}

double high_part(double x) noexcept { return static_cast<double>(static_cast<float>(x)); }

std::vector<float> transposed(const std::vector<double>& from, std::size_t rows, std::size_t dim) {
    std::vector<float> out(rows * dim);
    for (std::size_t j = 0; j < rows; ++j) {
        for (std::size_t k = 0; k < dim; ++k) {
            out[k * rows + j] = static_cast<float>(from[j * dim + k]);
        }
    }
    return out;
}

}  // namespace

CorpusMap::CorpusMap(std::size_t dim, std::size_t rank, bool is_matrix)
    : dim_(dim), rank_(rank), is_matrix_(is_matrix) {}

CorpusMap CorpusMap::low_rank(MatrixView<float> u, MatrixView<float> v) {
    if (u.rows != v.rows || u.cols != v.cols || u.rows == 0 || u.cols == 0) {
        throw std::invalid_argument("u and v: got " + std::to_string(u.rows) + " x " +
                                    std::to_string(u.cols) + " and " + std::to_string(v.rows) +
                                    " x " + std::to_string(v.cols) +
                                    ", expected two arrays of dim x rank");
    }
    const double size = norm_of_all(u, "u") * norm_of_all(v, "v");
    if (!(size <= kMostNorm)) {
        throw std::invalid_argument("u and v: the product of their norms is " +
                                    std::to_string(size) +
                                    ", expected at most 2^40: scale them down");
    }
    CorpusMap map(u.rows, u.cols, false);
    map.left_.resize(u.rows * u.cols);
    map.right_.resize(u.rows * u.cols);
    for (std::size_t k = 0; k < u.rows; ++k) {
        for (std::size_t j = 0; j < u.cols; ++j) {
            map.left_[j * u.rows + k] = static_cast<double>(u.row(k)[j]);
            map.right_[j * u.rows + k] = static_cast<double>(v.row(k)[j]);
        }
    }
    map.weight_.assign(u.cols, 1.0);
    map.is_identity_ = size == 0.0;
    map.finish();
    return map;
}

CorpusMap CorpusMap::matrix(MatrixView<float> w) {
    if (w.rows != w.cols || w.rows == 0) {
        throw std::invalid_argument("u: got " + std::to_string(w.rows) + " x " +
                                    std::to_string(w.cols) + ", expected dim x dim");
    }
    CorpusMap map(w.rows, w.rows, true);
    map.norm_ = norm_of_all(w, "u");
    if (!(map.norm_ == 0.0 || (map.norm_ <= kMostNorm && map.norm_ >= 1.0 / kMostNorm))) {
        throw std::invalid_argument("u: the norm of the matrix is " + std::to_string(map.norm_) +
                                    ", expected 0 or from 2^-40 to 2^40: scale it");
    }
    map.right_.resize(w.rows * w.cols);
    map.is_identity_ = true;
    for (std::size_t i = 0; i < w.rows; ++i) {
        for (std::size_t k = 0; k < w.cols; ++k) {
            const float value = w.row(i)[k];
            map.right_[i * w.cols + k] = static_cast<double>(value);
            if (value != (i == k ? 1.0f : 0.0f)) map.is_identity_ = false;
        }
    }
    map.finish();
    return map;
}

CorpusMap CorpusMap::mixture(std::span<const CorpusMap* const> maps,
                             std::span<const double> weights) {
    const std::size_t dim = maps[0]->dim_;
    std::size_t rank = 0;
    bool is_matrix = false;
    for (const CorpusMap* map : maps) {
        rank += map->rank_;
        is_matrix = is_matrix || map->is_matrix_;
    }
    if (!is_matrix && rank <= dim) {
        CorpusMap out(dim, rank, false);
        out.is_identity_ = true;
        for (std::size_t i = 0; i < maps.size(); ++i) {
            const CorpusMap& map = *maps[i];
            out.left_.insert(out.left_.end(), map.left_.begin(), map.left_.end());
            out.right_.insert(out.right_.end(), map.right_.begin(), map.right_.end());
            for (const double w : map.weight_) out.weight_.push_back(w * weights[i]);
            out.is_identity_ = out.is_identity_ && (map.is_identity_ || weights[i] == 0.0);
        }
        out.finish();
        return out;
    }
    std::vector<double> sum(dim * dim, 0.0);
    for (std::size_t k = 0; k < dim; ++k) sum[k * dim + k] = 1.0;
    for (std::size_t i = 0; i < maps.size(); ++i) {
        const CorpusMap& map = *maps[i];
        for (std::size_t row = 0; row < dim; ++row) {
            for (std::size_t k = 0; k < dim; ++k) {
                double delta = 0.0;
                if (map.is_matrix_) {
                    delta = map.right_[row * dim + k] - (row == k ? 1.0 : 0.0);
                } else {
                    for (std::size_t j = 0; j < map.rank_; ++j) {
                        delta +=
                            map.left_[j * dim + row] * map.weight_[j] * map.right_[j * dim + k];
                    }
                }
                sum[row * dim + k] += weights[i] * delta;
            }
        }
    }
    const std::vector<float> rounded(sum.begin(), sum.end());
    return matrix({rounded.data(), dim, dim});
}

/// What folding and lengths read, in the order in which they read it.
void CorpusMap::finish() {
    constexpr std::size_t kStep = kernels::kFactorStep;
    const std::size_t sides = is_matrix_ ? 1 : 2;
    width_ = round_up(sides * rank_, kStep);
    columns_.assign(dim_ * width_, 0.0);
    transpose_into(right_, rank_, dim_, columns_, width_, 0);
    row_width_ = round_up(dim_, kStep);
    right_rows_.assign(sides * rank_ * row_width_, 0.0);
    for (std::size_t j = 0; j < sides * rank_; ++j) {
        std::copy_n(right_.data() + j % rank_ * dim_, dim_, right_rows_.data() + j * row_width_);
    }
    if (is_matrix_) return;
    transpose_into(left_, rank_, dim_, columns_, width_, rank_);
    left_width_ = round_up(rank_, kStep);
    left_columns_.assign(dim_ * left_width_, 0.0);
    transpose_into(left_, rank_, dim_, left_columns_, left_width_, 0);
    gram_.assign(rank_ * rank_, 0.0);
    for (std::size_t i = 0; i < rank_; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = 0.0;
            for (std::size_t k = 0; k < dim_; ++k) sum += left_[i * dim_ + k] * left_[j * dim_ + k];
            gram_[i * rank_ + j] = gram_[j * rank_ + i] = sum;
        }
    }
}

std::size_t CorpusMap::bytes() const noexcept {
    return sizeof(double) * (left_.size() + right_.size() + weight_.size() + gram_.size() +
                             columns_.size() + left_columns_.size() + right_rows_.size());
}

std::vector<float> CorpusMap::u() const { return transposed(left_, left_.size() / dim_, dim_); }

std::vector<float> CorpusMap::v() const {
    if (!is_matrix_) return transposed(right_, rank_, dim_);
    return {right_.begin(), right_.end()};
}

FoldedRows CorpusMap::fold(MatrixView<float> queries, int threads) const {
    FoldedRows out(queries.rows, dim_);
    parallel_for((queries.rows + kQueries - 1) / kQueries, threads, [&](std::size_t task, int) {
        const std::size_t first = task * kQueries;
        const std::size_t n = std::min(kQueries, queries.rows - first);
        fold_some({queries.row(first), n, dim_, queries.stride}, first, out);
    });
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
        const double* const own = m.wide.data() + i * dim_;
        const double* const folded = m.folded.data() + i * row_width_;
        float* const high = out.row(first + i);
        float* const low = high + dim_;
        for (std::size_t k = 0; k < dim_; ++k) {
            const double value = is_matrix_ ? folded[k] : folded[k] + own[k];
            high[k] = static_cast<float>(value);
            low[k] = static_cast<float>(value - static_cast<double>(high[k]));
        }
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

void CorpusMap::lengths(const float* rows, std::size_t n, const double* squares, Scratch& scratch,
                        double* out) const {
    scratch.rows.resize(kRows * dim_);
    scratch.products.resize(kRows * width_);
    std::copy_n(rows, n * dim_, scratch.rows.data());
    kernels::active().factor_products(
        {scratch.rows.data(), n, dim_, columns_.data(), width_, scratch.products.data()});
    scratch.sums.resize(2 * rank_);
    for (std::size_t i = 0; i < n; ++i) {
        const double* const products = scratch.products.data() + i * width_;
        out[i] = is_matrix_ ? length_of(products, squares[i])
                            : length(products, squares[i], scratch.sums.data());
    }
}

double CorpusMap::length_of(const double* mapped, double square) const noexcept {
    double sum = 0.0;
    for (std::size_t j = 0; j < rank_; ++j) sum += mapped[j] * mapped[j];
    return sum > kVanishing * kVanishing * norm_ * norm_ * square ? std::sqrt(sum) : 0.0;
}

/// sums: scratch of 2 rank.
double CorpusMap::length(const double* products, double square, double* sums) const noexcept {
    const double* const a = products + rank_;
    double* const b = sums + rank_;
    for (std::size_t j = 0; j < rank_; ++j) b[j] = products[j] * weight_[j];
    std::fill_n(sums, rank_, 0.0);
    // G b, rows of G side by side.
    for (std::size_t j = 0; j < rank_; ++j) {
        const double* const row = gram_.data() + j * rank_;
        for (std::size_t i = 0; i < rank_; ++i) sums[i] += row[i] * b[j];
    }
    double cross = 0.0;
    double quad = 0.0;
    for (std::size_t i = 0; i < rank_; ++i) {
        cross += a[i] * b[i];
        quad += sums[i] * b[i];
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
