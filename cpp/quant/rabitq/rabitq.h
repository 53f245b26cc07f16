// RabitqQuantizer: "rabitq1" to "rabitq8", rotated codes about the mean of the training rows.
//
// Training finds the mean and nothing else; the seed draws the rotation. Codes and layout: codec.h.
// decode() gives the nearest multiple of the grid point, and CodeScorers score that row (float64 sums);
// estimator() is unbiased and bounds the score of the original row.
// A row of zeros, a row at the mean, one huge element, norms from 1e-30 to 1e36: all have codes.
// Cost, 384 dims, one AVX-512 thread: see the benchmarks.
// Source: codec.h and estimator.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "quant/quantizer.h"
#include "quant/rabitq/codec.h"
#include "quant/rabitq/estimator.h"

namespace nearfield {

class RabitqQuantizer final : public Quantizer {
public:
    /// std::invalid_argument for bits outside 1..8 or dim = 0.
    RabitqQuantizer(std::size_t dim, int bits);

    std::string name() const override;
    std::size_t dim() const noexcept override { return dim_; }
    std::size_t code_size() const noexcept override { return codec_->code_size(); }
    bool is_trained() const noexcept override { return !centre_.empty(); }

    void train(MatrixView<float> rows, std::uint64_t seed, int threads) override;
    void encode(MatrixView<float> rows, std::uint8_t* codes, int threads) const override;
    void decode(const std::uint8_t* codes, std::size_t n, float* rows, int threads) const override;
    std::unique_ptr<CodeScorer> make_scorer(Metric metric, const float* query) const override;
    std::vector<Parameter> parameters() const override;
    void restore(std::span<const Parameter> parameters) override;

    /// Scores are unbiased estimates for the rows before they were encoded: better than those of decoded rows
    /// where inner products of few bits are ranked, see above.
    std::unique_ptr<CodeScorer> make_estimating_scorer(Metric metric, const float* query) const;

    /// The quantizer must outlive the estimator.
    RabitqEstimator estimator(Metric metric, const float* query) const;

    const RabitqCodec& codec() const noexcept { return *codec_; }
    /// NotTrained before train().
    const float* centre() const;

private:
    std::size_t dim_;
    std::shared_ptr<const RabitqCodec> codec_;
    std::vector<float> centre_;
};

}  // namespace nearfield
