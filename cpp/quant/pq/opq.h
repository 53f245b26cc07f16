// OpqQuantizer: a product quantizer of rotated rows, the rotation learned with the codebooks.
//
// decode(encode(x)) = R^T pq(R x): since R keeps lengths, the error is the product quantizer's in rotated
// space, plus float32 rounding of the products with R (a relative 2^-20 of |x|). Scores are taken in
// rotated space.
// Memory: 4 dim^2 bytes for R, twice. Cost of encoding: dim^2 multiply-adds a row beside those of the
// product quantizer.
// Source: Ge, He, Ke, Sun, "Optimized product quantization", 2014. R starts as the
// better of no rotation and principal axes dealt out to sub-spaces of equal volume (their parametric
// solution), and is refined in turns with the codebooks.
#pragma once

#include "quant/pq/codebooks.h"
#include "quant/trained.h"

namespace nearfield {

/// What training finds: y = rotation x is what the codebooks quantise.
struct RotatedCodebooks {
    std::vector<float> rotation;  // dim x dim
    std::vector<float> inverse;   // its transpose
    Codebooks books;
};

class OpqQuantizer final : public Quantizer {
public:
    /// dim: at most 4,096.
    OpqQuantizer(std::size_t dim, std::size_t m, std::size_t nbits);

    std::string name() const override;
    std::size_t dim() const noexcept override { return shape_.dim; }
    std::size_t code_size() const noexcept override { return shape_.code_size(); }
    bool is_trained() const noexcept override { return static_cast<bool>(state_); }
    /// At least 2^nbits rows; looks at a sample of up to 65,536 of
    /// them (fewer above 512 dimensions).
    void train(MatrixView<float> rows, std::uint64_t seed, int threads) override;
    void encode(MatrixView<float> rows, std::uint8_t* codes, int threads) const override;
    void decode(const std::uint8_t* codes, std::size_t n, float* rows, int threads) const override;
    std::unique_ptr<CodeScorer> make_scorer(Metric metric, const float* query) const override;
    bool rotates() const noexcept override { return true; }
    void rotate(MatrixView<float> rows, float* rotated, int threads) const override;
    void decode_rotated(const std::uint8_t* codes, std::size_t n, float* rows) const override;
    std::unique_ptr<CodeScorer> make_rotated_scorer(Metric metric,
                                                    const float* query) const override;
    std::size_t scan_numbers() const noexcept override { return shape_.nbits == 4 ? shape_.m : 0; }
    void scan_tables(Metric metric, const float* query, float* tables) const override;
    /// "rotation", dim x dim, and "codebooks", m 2^nbits x dim / m.
    std::vector<Parameter> parameters() const override;
    /// The rotation's rows must be orthonormal to 1e-3.
    void restore(std::span<const Parameter> parameters) override;

    const RotatedCodebooks& trained() const { return state_.get("trained"); }

private:
    CodebookShape shape_;
    Trained<RotatedCodebooks> state_;
};

/// Learns a rotation and codebooks from rows.
RotatedCodebooks train_rotated(const CodebookShape& shape, MatrixView<float> rows,
                               std::uint64_t seed, int threads);

}  // namespace nearfield
