#include "quant/rabitq/mean.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "base/parallel.h"
#include "kernels/resolve.h"

namespace nearfield {
namespace {

constexpr std::size_t kSlices = 256;

}  // namespace

std::vector<float> mean_of_rows(MatrixView<float> rows, int threads) {
    if (rows.rows == 0) throw std::invalid_argument("training needs at least 1 row, got 0");
    const std::size_t slices = std::min(kSlices, rows.rows);
    std::vector<double> sums(slices * rows.cols);
    std::vector<std::size_t> bad(slices, rows.rows);
    const auto& table = kernels::active();
    parallel_for(slices, threads, [&](std::size_t slice, int) {
        double* sum = sums.data() + slice * rows.cols;
        const std::size_t end = rows.rows * (slice + 1) / slices;
        for (std::size_t i = rows.rows * slice / slices; i < end; ++i) {
            const float* row = rows.row(i);
            if (table.max_abs(row, rows.cols) > std::numeric_limits<float>::max()) {
                bad[slice] = i;
                return;
            }
            for (std::size_t k = 0; k < rows.cols; ++k) sum[k] += static_cast<double>(row[k]);
        }
    });
    const std::size_t first_bad = *std::min_element(bad.begin(), bad.end());
    if (first_bad < rows.rows) {
        throw std::invalid_argument("row " + std::to_string(first_bad) +
                                    " is not finite; training needs finite rows");
    }
    std::vector<float> mean(rows.cols);
    for (std::size_t k = 0; k < rows.cols; ++k) {
        double total = 0.0;
        for (std::size_t slice = 0; slice < slices; ++slice) total += sums[slice * rows.cols + k];
        mean[k] = static_cast<float>(total / static_cast<double>(rows.rows));
    }
    return mean;
}

}  // namespace nearfield
