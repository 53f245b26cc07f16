// Learning a rotation: codebooks and rotation are improved in turns, each step lowering the squared
// error: rows to their nearest centroids, centroids to the means of their rows, the rotation to the one
// that takes the rows nearest to their centroids (orthogonal Procrustes).
// The rotation step is damped towards the previous rotation, which keeps directions without variance
// where they are. Cost of a turn: about 2 dim^2 + 2^nbits dim multiply-adds a row.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/parallel.h"
#include "kernels/resolve.h"
#include "quant/packing.h"
#include "quant/pq/opq.h"
#include "quant/pq/orthogonal.h"

namespace nearfield {
namespace {

constexpr std::size_t kLanes = kernels::kLanes;
constexpr int kFirstIterations = 10;  // of k-means before the first turn
constexpr int kTurns = 40;
constexpr int kLastSteps = 15;  // of k-means once the rotation stands
constexpr double kDamping = 1e-3;

class Trainer {
public:
    Trainer(const CodebookShape& shape, MatrixView<float> rows, std::uint64_t seed, int threads)
        : shape_(shape),
          threads_(threads),
          seed_(seed),
          n_(rows.rows),
          blocks_((rows.rows + kLanes - 1) / kLanes),
          width_(round_up(shape.dim, kLanes)),
          rows_(blocks_ * kLanes * width_, 0.0f),
          lanes_(blocks_ * kLanes * shape.dim),
          codes_(n_ * shape.code_size()) {
        scale_rows(rows);
    }

    RotatedCodebooks run() {
        std::vector<float> values;
        Matrix rotation = better_start(values);
        for (int turn = 0; turn < kTurns; ++turn) {
            improve(values);
            Matrix target = correlate();
            const double norm =
                std::sqrt(std::inner_product(target.begin(), target.end(), target.begin(), 0.0)) *
                kDamping;
            if (!(norm > 0.0)) break;  // every row is the zero vector
            for (std::size_t i = 0; i < target.size(); ++i) {
                target[i] += static_cast<float>(norm) * rotation[i];
            }
            rotation = polar_factor(std::move(target), shape_.dim, threads_);
            rotate(rotation);
        }
        orthonormalise(rotation, shape_.dim, seed_);
        for (int step = 0; step < kLastSteps; ++step) {
            rotate(rotation);
            improve(values);
        }
        const float back = 1.0f / scale_;
        for (float& value : values) value *= back;
        return {rotation, transpose(rotation, shape_.dim), Codebooks(shape_, std::move(values))};
    }

private:
    /// Copies rows, scaled by a power of two so that products neither overflow nor vanish.
    void scale_rows(MatrixView<float> rows) {
        const auto& kernel = kernels::active();
        float most = 0.0f;
        for (std::size_t i = 0; i < n_; ++i)
            most = std::max(most, kernel.max_abs(rows.row(i), shape_.dim));
        int exponent = 0;
        std::frexp(most, &exponent);
        scale_ = std::ldexp(1.0f, std::clamp(-exponent, -126, 126));
        for (std::size_t i = 0; i < n_; ++i) {
            checkpoint();
            for (std::size_t k = 0; k < shape_.dim; ++k) {
                rows_[i * width_ + k] = rows.row(i)[k] * scale_;
            }
        }
    }

    float* block(std::size_t b) { return lanes_.data() + b * kLanes * shape_.dim; }
    std::size_t count(std::size_t b) const { return std::min(kLanes, n_ - b * kLanes); }

    /// lanes_ = rotation times every row.
    void rotate(const Matrix& rotation) {
        const auto& kernel = kernels::active();
        const std::size_t dim = shape_.dim;
        parallel_for(blocks_, threads_, [&](std::size_t b, int) {
            std::vector<float> x(dim * kLanes);
            kernel.lanes_from_rows(rows_.data() + b * kLanes * width_, width_ * sizeof(float),
                                   count(b), dim, x.data());
            kernel.multiply_lanes(
                {rotation.data(), dim, dim, x.data(), kLanes, dim, block(b), kLanes, false});
        });
    }

    /// k-means on the rotated rows.
    std::vector<float> first_codebooks() {
        std::vector<float> rotated(n_ * shape_.dim);
        parallel_for(blocks_, threads_, [&](std::size_t b, int) {
            const float* const y = block(b);
            for (std::size_t r = 0; r < count(b); ++r) {
                for (std::size_t k = 0; k < shape_.dim; ++k) {
                    rotated[(b * kLanes + r) * shape_.dim + k] = y[k * kLanes + r];
                }
            }
        });
        return train_codebooks(shape_, {rotated.data(), n_, shape_.dim}, kFirstIterations, seed_,
                               threads_);
    }

    /// Assigns every row, moves the centroids to the means and puts the centroids in place of the
    /// rotated rows.
    void improve(std::vector<float>& values) {
        const Codebooks books(shape_, values);
        parallel_for(blocks_, threads_, [&](std::size_t b, int) {
            std::vector<float> x(block(b), block(b) + shape_.dim * kLanes);
            books.encode_lanes(x.data(), count(b), codes_.data() + b * kLanes * shape_.code_size());
        });
        parallel_for(shape_.m, threads_, [&](std::size_t j, int) { replace(j, values); });
    }

    std::size_t code(std::size_t row, std::size_t j) const {
        const std::size_t bytes = shape_.code_size();
        return get_number(codes_.data() + row * bytes, bytes, j, shape_.nbits);
    }

    /// Means of sub-space j, and its part of every row.
    void replace(std::size_t j, std::vector<float>& values) {
        const std::size_t dim = shape_.sub_dim();
        const std::size_t k = shape_.k();
        float* const book = values.data() + j * k * dim;
        std::vector<double> sums(k * dim, 0.0);
        std::vector<std::size_t> sizes(k, 0);
        for (std::size_t i = 0; i < n_; ++i) {
            const std::size_t c = code(i, j);
            const float* const y = block(i / kLanes) + j * dim * kLanes + i % kLanes;
            ++sizes[c];
            for (std::size_t d = 0; d < dim; ++d)
                sums[c * dim + d] += static_cast<double>(y[d * kLanes]);
        }
        for (std::size_t c = 0; c < k; ++c) {
            if (sizes[c] == 0) continue;  // it stays where it was
            for (std::size_t d = 0; d < dim; ++d) {
                book[c * dim + d] =
                    static_cast<float>(sums[c * dim + d] / static_cast<double>(sizes[c]));
            }
        }
        for (std::size_t i = 0; i < n_; ++i) {
            const float* const centroid = book + code(i, j) * dim;
            float* const y = block(i / kLanes) + j * dim * kLanes + i % kLanes;
            for (std::size_t d = 0; d < dim; ++d) y[d * kLanes] = centroid[d];
        }
    }

    /// sum over rows of lanes_ transpose(row): tiles of 64 x 64, each over all rows in order.
    Matrix correlate() {
        const std::size_t dim = shape_.dim;
        const std::size_t tiles = width_ / kLanes;
        const auto& kernel = kernels::active();
        Matrix out(dim * dim);
        parallel_for(tiles * tiles, threads_, [&](std::size_t tile, int) {
            const std::size_t row = tile / tiles * kLanes;
            const std::size_t col = tile % tiles * kLanes;
            const std::size_t height = std::min(kLanes, dim - row);
            std::vector<double> total(height * kLanes, 0.0);
            std::vector<float> part(height * kLanes);
            for (std::size_t b = 0; b < blocks_; ++b) {
                kernel.multiply_lanes({block(b) + row * kLanes, kLanes, height,
                                       rows_.data() + b * kLanes * width_ + col, width_, kLanes,
                                       part.data(), kLanes, b % 16 != 0});
                if (b % 16 != 15 && b + 1 != blocks_) continue;
                for (std::size_t i = 0; i < part.size(); ++i)
                    total[i] += static_cast<double>(part[i]);
                checkpoint();
            }
            for (std::size_t i = 0; i < height; ++i) {
                for (std::size_t k = 0; k < std::min(kLanes, dim - col); ++k) {
                    out[(row + i) * dim + col + k] = static_cast<float>(total[i * kLanes + k]);
                }
            }
        });
        return out;
    }

    /// The rotation to start from with its codebooks: none where the dimensions as they come are
    /// already grouped well, as those of image descriptors are; else principal axes.
    Matrix better_start(std::vector<float>& values) {
        const std::size_t dim = shape_.dim;
        Matrix rotation(dim * dim, 0.0f);
        for (std::size_t i = 0; i < dim; ++i) rotation[i * dim + i] = 1.0f;
        const double kept = kept_by(rotation, values);
        std::vector<float> other_values;
        Matrix other = dealt_axes();
        if (kept_by(other, other_values) > kept) {
            rotation = std::move(other);
            values = std::move(other_values);
        }
        rotate(rotation);
        return rotation;
    }

    /// Sum of squared norms of decoded rows after a few iterations of k-means. Rows keep their norms
    /// and centroids are means, so that the error is a constant less this.
    double kept_by(const Matrix& rotation, std::vector<float>& values) {
        rotate(rotation);
        values = first_codebooks();
        improve(values);
        double kept = 0.0;
        for (std::size_t b = 0; b < blocks_; ++b) {
            checkpoint();
            kept += kernels::active().ip_f32(block(b), block(b), shape_.dim * kLanes);
        }
        return kept;
    }

    /// Principal axes, dealt to sub-spaces so that the products of their variances are alike.
    Matrix dealt_axes() {
        const std::size_t dim = shape_.dim;
        Matrix identity(dim * dim, 0.0f);
        for (std::size_t i = 0; i < dim; ++i) identity[i * dim + i] = 1.0f;
        rotate(identity);
        centre();
        std::vector<double> variance;
        const Matrix axes = principal_axes(correlate(), dim, variance, seed_, threads_);
        const double floor = 1e-12 * std::max(variance[0], 1e-300);
        std::vector<double> volume(shape_.m, 0.0);
        std::vector<std::size_t> used(shape_.m, 0);
        Matrix rotation(dim * dim);
        for (std::size_t i = 0; i < dim; ++i) {
            std::size_t best = shape_.m;
            for (std::size_t j = 0; j < shape_.m; ++j) {
                if (used[j] == shape_.sub_dim()) continue;
                if (best == shape_.m || volume[j] < volume[best]) best = j;
            }
            const std::size_t at = best * shape_.sub_dim() + used[best]++;
            volume[best] += std::log(std::max(variance[i], floor) / floor);
            std::copy_n(axes.data() + i * dim, dim, rotation.data() + at * dim);
        }
        return rotation;
    }

    /// Takes the mean off lanes_: correlate() is then the covariance.
    void centre() {
        parallel_for(shape_.dim, threads_, [&](std::size_t k, int) {
            double sum = 0.0;
            for (std::size_t i = 0; i < n_; ++i)
                sum += static_cast<double>(block(i / kLanes)[k * kLanes + i % kLanes]);
            const auto mean = static_cast<float>(sum / static_cast<double>(n_));
            for (std::size_t i = 0; i < n_; ++i) block(i / kLanes)[k * kLanes + i % kLanes] -= mean;
        });
    }

    CodebookShape shape_;
    int threads_;
    std::uint64_t seed_;
    std::size_t n_;
    std::size_t blocks_;
    std::size_t width_;  // of rows_, whole lanes
    float scale_ = 1.0f;
    std::vector<float> rows_;
    std::vector<float> lanes_;  // blocks of dim x kLanes; zero rows past the last
    std::vector<std::uint8_t> codes_;
};

}  // namespace

RotatedCodebooks train_rotated(const CodebookShape& shape, MatrixView<float> rows,
                               std::uint64_t seed, int threads) {
    return Trainer(shape, rows, seed, threads).run();
}

}  // namespace nearfield
