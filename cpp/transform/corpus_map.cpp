#include "transform/corpus_map.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "kernels/resolve.h"

namespace nearfield {
namespace {

constexpr double kMostNorm = 0x1p40;

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
}

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
        throw std::invalid_argument("u and v: the product of their norms is " + number(size) +
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
    map.norm_ = size;
    map.is_identity_ = size == 0.0;
    map.finish();
    return map;
}

CorpusMap CorpusMap::matrix(MatrixView<float> w) {
    if (w.rows != w.cols || w.rows == 0) {
        throw std::invalid_argument("u: got " + std::to_string(w.rows) + " x " +
                                    std::to_string(w.cols) + ", expected dim x dim");
    }
    return of_matrix(w, "u");
}

CorpusMap CorpusMap::of_matrix(MatrixView<float> w, const char* name) {
    CorpusMap map(w.rows, w.rows, true);
    map.norm_ = norm_of_all(w, name);
    if (!(map.norm_ == 0.0 || (map.norm_ <= kMostNorm && map.norm_ >= 1.0 / kMostNorm))) {
        throw std::invalid_argument(std::string(name) + ": the norm of the matrix is " +
                                    number(map.norm_) +
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
    double reach = 0.0;  // at least the norm of what is added to I
    for (std::size_t i = 0; i < maps.size(); ++i) {
        const CorpusMap& map = *maps[i];
        rank += map.rank_;
        is_matrix = is_matrix || map.is_matrix_;
        const double own = map.is_matrix_ ? std::sqrt(static_cast<double>(dim)) : 0.0;
        reach += std::fabs(weights[i]) * (map.norm_ + own);
    }
    if (!(reach <= kMostNorm)) {
        throw std::invalid_argument("corpus_adapter: weights times norms of the adapters come to " +
                                    number(reach) + ", expected at most 2^40: scale them down");
    }
    if (is_matrix || rank > dim) return dense_mixture(maps, weights);
    CorpusMap out(dim, rank, false);
    out.norm_ = reach;
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

CorpusMap CorpusMap::dense_mixture(std::span<const CorpusMap* const> maps,
                                   std::span<const double> weights) {
    const std::size_t dim = maps[0]->dim_;
    std::vector<double> sum(dim * dim, 0.0);
    for (std::size_t k = 0; k < dim; ++k) sum[k * dim + k] = 1.0;
    for (std::size_t i = 0; i < maps.size(); ++i) {
        for (std::size_t row = 0; row < dim; ++row) {
            for (std::size_t k = 0; k < dim; ++k) {
                sum[row * dim + k] += weights[i] * maps[i]->added_at(row, k);
            }
        }
    }
    const std::vector<float> rounded(sum.begin(), sum.end());
    return of_matrix({rounded.data(), dim, dim}, "corpus_adapter");
}

/// An element of M - I.
double CorpusMap::added_at(std::size_t row, std::size_t column) const noexcept {
    if (is_matrix_) return right_[row * dim_ + column] - (row == column ? 1.0 : 0.0);
    double sum = 0.0;
    for (std::size_t j = 0; j < rank_; ++j) {
        sum += left_[j * dim_ + row] * weight_[j] * right_[j * dim_ + column];
    }
    return sum;
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
    gram_.assign(rank_ * left_width_, 0.0);
    for (std::size_t i = 0; i < rank_; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = 0.0;
            for (std::size_t k = 0; k < dim_; ++k) sum += left_[i * dim_ + k] * left_[j * dim_ + k];
            gram_[i * left_width_ + j] = gram_[j * left_width_ + i] = sum;
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

}  // namespace nearfield
