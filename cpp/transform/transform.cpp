#include "transform/transform.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "transform/finite_check.h"
#include "transform/row_blocks.h"

namespace nearfield {

std::size_t Transform::scratch(std::size_t, std::size_t) const noexcept { return 0; }

void Transform::check_dim(std::size_t dim) const {
    if (dim != 0 && (in_dim_ == 0 || in_dim_ == dim)) return;
    throw std::invalid_argument("queries: got dim " + std::to_string(dim) + ", expected " +
                                (in_dim_ == 0 ? "1 or more" : std::to_string(in_dim_)) +
                                ", which the transform takes");
}

void Transform::apply(MatrixView<float> x, float* out, int threads) const {
    check_dim(x.cols);
    const std::size_t cols = out_dim(x.cols);
    const RowBlocks blocks(x.rows, threads);
    std::vector<std::vector<float>> memory(static_cast<std::size_t>(max_workers(threads)));
    FiniteCheck check;
    parallel_for(blocks.count(), threads, [&](std::size_t block, int worker) {
        const auto [first, rows] = blocks.block(block);
        auto& own = memory[static_cast<std::size_t>(worker)];
        own.resize(std::max(own.size(), scratch(rows, x.cols)));
        for (std::size_t i = first; i < first + rows; ++i) check.before(x.row(i), x.cols, i);
        run(x.row(first), rows, x.cols, out + first * cols, own.data());
        for (std::size_t i = first; i < first + rows; ++i) check.after(out + i * cols, cols, i);
    });
    check.raise();
}

}  // namespace nearfield
