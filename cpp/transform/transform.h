// Transform: a map on vectors with parameters, applied to queries before they are searched.
//
// A kind says what becomes of a block of rows on one thread; blocks of a batch run in parallel. A row's
// result depends on that row alone, bit for bit, whatever the batch, the threads and the level: kernels add
// in one order, see kernels/generic/multiply.h. Transforms never change once made.
#pragma once

#include <cstddef>
#include <memory>

#include "base/view.h"

namespace nearfield {

class Transform {
public:
    /// Rows of the largest block that run() is given.
    static constexpr std::size_t kBlockRows = 96;

    Transform(const Transform&) = delete;
    Transform& operator=(const Transform&) = delete;
    virtual ~Transform() = default;

    /// Columns of the rows it takes and gives; 0: any, and as many as it takes.
    std::size_t in_dim() const noexcept { return in_dim_; }
    std::size_t out_dim() const noexcept { return out_dim_; }
    /// Columns given for rows of `dim` columns.
    std::size_t out_dim(std::size_t dim) const noexcept { return out_dim_ == 0 ? dim : out_dim_; }

    /// Floats of working memory that run() takes for so many rows of dim columns.
    virtual std::size_t scratch(std::size_t rows, std::size_t dim) const noexcept;

    /// rows x dim floats to rows x out_dim(dim), both without gaps and apart from each other.
    virtual void run(const float* x, std::size_t rows, std::size_t dim, float* out,
                     float* scratch) const noexcept = 0;

    /// Throws std::invalid_argument unless x has in_dim() columns.
    void check_dim(std::size_t dim) const;

    /// Throws std::invalid_argument that names a row of another width, or with NaN or infinity before or
    /// after the map.
    void apply(MatrixView<float> x, float* out, int threads) const;

protected:
    Transform(std::size_t in_dim, std::size_t out_dim) : in_dim_(in_dim), out_dim_(out_dim) {}

private:
    std::size_t in_dim_;
    std::size_t out_dim_;
};

using SharedTransform = std::shared_ptr<const Transform>;

}  // namespace nearfield
