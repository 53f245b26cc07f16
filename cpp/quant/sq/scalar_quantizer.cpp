// Training, encoding and decoding; the scorer is in scalar_scorer.cpp.
#include "quant/sq/scalar_quantizer.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "base/parallel.h"
#include "kernels/resolve.h"
#include "quant/packing.h"
#include "quant/sq/scalar_scorer.h"

namespace nearfield {
namespace {

constexpr std::size_t kBlockRows = 256;  // rows of one parallel task

std::size_t block_count(std::size_t rows) { return (rows + kBlockRows - 1) / kBlockRows; }

/// Ranges of some rows, dim values each.
void widen(MatrixView<float> rows, std::size_t first, std::size_t last, float* low, float* high) {
    for (std::size_t i = first; i < last; ++i) {
        const float* row = rows.row(i);
        for (std::size_t k = 0; k < rows.cols; ++k) {
            low[k] = row[k] < low[k] ? row[k] : low[k];
            high[k] = row[k] > high[k] ? row[k] : high[k];
        }
    }
}

}  // namespace

ScalarQuantizer::ScalarQuantizer(std::size_t dim, std::size_t bits) : dim_(dim), bits_(bits) {
    if (bits != 8 && bits != 4) {
        throw std::invalid_argument("bits: got " + std::to_string(bits) + ", expected 8 or 4");
    }
}

std::string ScalarQuantizer::name() const { return "sq" + std::to_string(bits_); }

void ScalarQuantizer::publish(std::vector<float> low, std::vector<float> high) {
    auto ranges = std::make_unique<Ranges>();
    const std::size_t padded = round_up(dim_, 32);
    ranges->bits = bits_;
    ranges->low = std::move(low);
    ranges->high = std::move(high);
    for (auto* array :
         {&ranges->low, &ranges->high, &ranges->step, &ranges->inverse, &ranges->base}) {
        array->resize(padded, 0.0f);
    }
    const double cells = bits_ == 8 ? 256.0 : 16.0;
    for (std::size_t k = 0; k < dim_; ++k) {
        const double width = static_cast<double>(ranges->high[k]) - ranges->low[k];
        if (!(width >= 0.0 && width <= FLT_MAX)) {
            throw std::invalid_argument("dimension " + std::to_string(k) + " ranges from " +
                                        std::to_string(ranges->low[k]) + " to " +
                                        std::to_string(ranges->high[k]) +
                                        ", expected a range that float32 holds; scale the "
                                        "vectors down");
        }
        ranges->step[k] = static_cast<float>(width / cells);
        ranges->inverse[k] =
            width > 0.0 ? static_cast<float>(std::min(cells / width, double{FLT_MAX})) : 0.0f;
        ranges->base[k] = static_cast<float>(ranges->low[k] + width / cells / 2);
    }
    state_.publish(std::move(ranges));
}

void ScalarQuantizer::train(MatrixView<float> rows, std::uint64_t seed, int threads) {
    (void)seed;
    state_.require_empty();
    require_columns(rows, dim_);
    if (rows.rows == 0) {
        throw std::invalid_argument("got 0 rows to train on, expected at least 1");
    }
    require_finite(rows, threads);
    const auto workers = static_cast<std::size_t>(max_workers(threads));
    std::vector<float> low(workers * dim_, FLT_MAX);
    std::vector<float> high(workers * dim_, -FLT_MAX);
    parallel_for(block_count(rows.rows), threads, [&](std::size_t block, int worker) {
        const std::size_t at = static_cast<std::size_t>(worker) * dim_;
        widen(rows, block * kBlockRows, std::min(rows.rows, (block + 1) * kBlockRows),
              low.data() + at, high.data() + at);
    });
    for (std::size_t w = 1; w < workers; ++w) {
        for (std::size_t k = 0; k < dim_; ++k) {
            low[k] = std::min(low[k], low[w * dim_ + k]);
            high[k] = std::max(high[k], high[w * dim_ + k]);
        }
    }
    low.resize(dim_);
    high.resize(dim_);
    publish(std::move(low), std::move(high));
}

void ScalarQuantizer::encode(MatrixView<float> rows, std::uint8_t* codes, int threads) const {
    const Ranges& ranges = state_.get("encode");
    require_columns(rows, dim_);
    require_finite(rows, threads);
    const auto& kernel = kernels::active();
    const float most = bits_ == 8 ? 255.0f : 15.0f;
    parallel_for(block_count(rows.rows), threads, [&](std::size_t block, int) {
        std::vector<std::uint8_t> bytes(bits_ == 4 ? dim_ : 0);
        const std::size_t last = std::min(rows.rows, (block + 1) * kBlockRows);
        for (std::size_t i = block * kBlockRows; i < last; ++i) {
            std::uint8_t* const code = codes + i * code_size();
            kernel.scalar_codes(rows.row(i), ranges.low.data(), ranges.inverse.data(), most, dim_,
                                bits_ == 4 ? bytes.data() : code);
            if (bits_ == 4) pack_nibbles(bytes.data(), dim_, code);
        }
    });
}

void ScalarQuantizer::decode(const std::uint8_t* codes, std::size_t n, float* rows,
                             int threads) const {
    const Ranges& ranges = state_.get("decode");
    parallel_for(block_count(n), threads, [&](std::size_t block, int) {
        std::vector<std::uint8_t> bytes(bits_ == 4 ? dim_ : 0);
        const std::size_t last = std::min(n, (block + 1) * kBlockRows);
        for (std::size_t i = block * kBlockRows; i < last; ++i) {
            const std::uint8_t* code = codes + i * code_size();
            if (bits_ == 4) {
                unpack_nibbles(code, dim_, bytes.data());
                code = bytes.data();
            }
            float* const row = rows + i * dim_;
            for (std::size_t k = 0; k < dim_; ++k) {
                row[k] = ranges.step[k] * static_cast<float>(code[k]) + ranges.base[k];
            }
        }
    });
}

std::unique_ptr<CodeScorer> ScalarQuantizer::make_scorer(Metric metric, const float* query) const {
    return make_scalar_scorer(state_.get("make_scorer"), dim_, metric, query);
}

std::vector<Parameter> ScalarQuantizer::parameters() const {
    const Ranges& ranges = state_.get("parameters");
    const auto width = static_cast<std::ptrdiff_t>(dim_);
    return {{"low", 1, dim_, {ranges.low.begin(), ranges.low.begin() + width}},
            {"high", 1, dim_, {ranges.high.begin(), ranges.high.begin() + width}}};
}

void ScalarQuantizer::restore(std::span<const Parameter> parameters) {
    state_.require_empty();
    expect_count(parameters, 2);
    const Parameter& low = expect_parameter(parameters, "low", 1, dim_);
    const Parameter& high = expect_parameter(parameters, "high", 1, dim_);
    publish(low.values, high.values);
}

}  // namespace nearfield
