// ProductQuantizer: m sub-spaces, each quantised to its nearest of 2^nbits centroids.
//
// decode(encode(x)) replaces every sub-vector by its nearest centroid; the squared error is the sum of
// the squared distances to them (nearest up to rounding, see codebooks.h). Scores by table are those
// of the decoded row up to float32 rounding: a relative m 2^-22 of the terms' magnitudes.
// Memory: m * nbits / 8 bytes a row. Cost: 2^nbits * dim multiply-adds a row.
// Source: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", 2011.
#pragma once

#include "quant/pq/codebooks.h"
#include "quant/trained.h"

namespace nearfield {

class ProductQuantizer final : public Quantizer {
public:
    ProductQuantizer(std::size_t dim, std::size_t m, std::size_t nbits);

    std::string name() const override;
    std::size_t dim() const noexcept override { return shape_.dim; }
    std::size_t code_size() const noexcept override { return shape_.code_size(); }
    bool is_trained() const noexcept override { return static_cast<bool>(state_); }
    /// At least 2^nbits rows; see most_training_rows().
    void train(MatrixView<float> rows, std::uint64_t seed, int threads) override;
    void encode(MatrixView<float> rows, std::uint8_t* codes, int threads) const override;
    void decode(const std::uint8_t* codes, std::size_t n, float* rows, int threads) const override;
    std::unique_ptr<CodeScorer> make_scorer(Metric metric, const float* query) const override;
    std::size_t scan_numbers() const noexcept override { return shape_.nbits == 4 ? shape_.m : 0; }
    void scan_tables(Metric metric, const float* query, float* tables) const override;
    /// "codebooks", m 2^nbits x dim / m.
    std::vector<Parameter> parameters() const override;
    void restore(std::span<const Parameter> parameters) override;

    const CodebookShape& shape() const noexcept { return shape_; }
    /// std::invalid_argument where train() would throw it for that.
    void require_untrained() const { state_.require_empty(); }
    /// For what reads them itself; NotTrained before train().
    const Codebooks& codebooks() const { return state_.get("codebooks"); }

private:
    CodebookShape shape_;
    Trained<Codebooks> state_;
};

/// How many rows training looks at, at most: 256 a centroid, and no fewer than 65,536, because a few
/// centroids are found in no time.
constexpr std::size_t most_training_rows(const CodebookShape& shape) noexcept {
    return shape.k() <= 256 ? 65536 : 256 * shape.k();
}

/// Of k-means in every part, at most.
inline constexpr int kCodebookIterations = 40;

/// std::invalid_argument where there are fewer rows than centroids.
void require_training_rows(const CodebookShape& shape, std::size_t rows);

}  // namespace nearfield
