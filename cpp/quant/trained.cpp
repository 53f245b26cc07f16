// Checks and samples of trained quantizers, see trained.h.
#include "quant/trained.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/resolve.h"

namespace nearfield {
namespace {

constexpr std::size_t kCheckedRows = 1024;  // per checkpoint

}  // namespace

void require_columns(MatrixView<float> rows, std::size_t dim) {
    if (rows.cols != dim) {
        throw std::invalid_argument("got rows of " + std::to_string(rows.cols) +
                                    " columns, expected " + std::to_string(dim));
    }
}

void require_finite(MatrixView<float> rows, std::size_t first, std::size_t last) {
    const auto& kernel = kernels::active();
    for (std::size_t i = first; i < last; ++i) {
        if (!std::isfinite(kernel.max_abs(rows.row(i), rows.cols))) {
            throw std::invalid_argument("row " + std::to_string(i) +
                                        " holds NaN or infinity, expected finite values");
        }
    }
}

void require_finite(MatrixView<float> rows, int threads) {
    const auto& kernel = kernels::active();
    const std::size_t blocks = (rows.rows + kCheckedRows - 1) / kCheckedRows;
    std::vector<std::size_t> bad(blocks, rows.rows);
    parallel_for(blocks, threads, [&](std::size_t block, int) {
        const std::size_t last = std::min(rows.rows, (block + 1) * kCheckedRows);
        for (std::size_t i = block * kCheckedRows; i < last && bad[block] == rows.rows; ++i) {
            if (!std::isfinite(kernel.max_abs(rows.row(i), rows.cols))) bad[block] = i;
        }
    });
    const auto first =
        std::find_if(bad.begin(), bad.end(), [&](std::size_t row) { return row != rows.rows; });
    if (first != bad.end()) require_finite(rows, *first, *first + 1);
}

const Parameter& expect_parameter(std::span<const Parameter> parameters, const std::string& name,
                                  std::size_t rows, std::size_t cols) {
    for (const Parameter& p : parameters) {
        if (p.name != name) continue;
        if (p.rows != rows || p.cols != cols || p.values.size() != rows * cols) {
            throw std::invalid_argument("parameter " + name + ": got " + std::to_string(p.rows) +
                                        " x " + std::to_string(p.cols) + " with " +
                                        std::to_string(p.values.size()) + " values, expected " +
                                        std::to_string(rows) + " x " + std::to_string(cols));
        }
        for (const float value : p.values) {
            if (!std::isfinite(value)) {
                throw std::invalid_argument("parameter " + name +
                                            " holds NaN or infinity, expected finite values");
            }
        }
        return p;
    }
    throw std::invalid_argument("parameter " + name + " is missing");
}

void expect_count(std::span<const Parameter> parameters, std::size_t count) {
    if (parameters.size() != count) {
        throw std::invalid_argument("got " + std::to_string(parameters.size()) +
                                    " parameters, expected " + std::to_string(count));
    }
}

std::vector<Id> training_rows(std::size_t rows, std::size_t most, std::uint64_t seed) {
    std::vector<Id> chosen(rows);
    std::iota(chosen.begin(), chosen.end(), Id{0});
    if (rows > most) {
        Random random(seed, 0x5a3b1eULL);
        for (std::size_t i = 0; i < most; ++i) {
            std::swap(chosen[i], chosen[i + static_cast<std::size_t>(random.below(rows - i))]);
        }
        chosen.resize(most);
        std::sort(chosen.begin(), chosen.end());
    }
    return chosen;
}

std::vector<float> training_sample(MatrixView<float> rows, std::size_t most, std::uint64_t seed) {
    const std::vector<Id> chosen = training_rows(rows.rows, most, seed);
    std::vector<float> sample(chosen.size() * rows.cols);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        checkpoint();
        std::memcpy(sample.data() + i * rows.cols, rows.row(chosen[i]), rows.cols * sizeof(float));
    }
    return sample;
}

}  // namespace nearfield
