// ScalarQuantizer: every dimension in 256 or 16 cells of equal width between the smallest and the
// largest training value.
//
// A value decodes to the middle of its cell; one outside the trained range goes to the nearest cell.
// Error: |x - x'| <= step / 2 in every dimension for x within the trained range, step being
// (high - low) / 2^bits, up to the rounding of float32 at that magnitude (a range narrower than a few
// units in the last place of its values cannot be divided further); a dimension that was constant
// comes back exactly. A score's error follows: |ip - ip'| <= sum |q_k| step_k / 2.
// Memory: dim bytes (8 bits) or half of it, rounded up; in 4 bit codes an even dimension is the low
// nibble. Cost: one pass.
// Source: own; the layout of ranges as in FAISS's QT_8bit and QT_4bit, whose cells are 1/255 and 1/15
// of the range wide.
#pragma once

#include "quant/trained.h"

namespace nearfield {

class ScalarQuantizer final : public Quantizer {
public:
    /// bits: 8 or 4.
    ScalarQuantizer(std::size_t dim, std::size_t bits);

    std::string name() const override;
    std::size_t dim() const noexcept override { return dim_; }
    std::size_t code_size() const noexcept override { return bits_ == 8 ? dim_ : (dim_ + 1) / 2; }
    bool is_trained() const noexcept override { return static_cast<bool>(state_); }
    void train(MatrixView<float> rows, std::uint64_t seed, int threads) override;
    void encode(MatrixView<float> rows, std::uint8_t* codes, int threads) const override;
    void decode(const std::uint8_t* codes, std::size_t n, float* rows, int threads) const override;
    std::unique_ptr<CodeScorer> make_scorer(Metric metric, const float* query) const override;
    /// "low" and "high", 1 x dim each.
    std::vector<Parameter> parameters() const override;
    void restore(std::span<const Parameter> parameters) override;

    /// All arrays reach to the next multiple of 32 elements and are zero there.
    struct Ranges {
        std::size_t bits = 8;
        std::vector<float> low, high, step, inverse;
        std::vector<float> base;  // low + step / 2: what code 0 decodes to
    };
    /// NotTrained before train().
    const Ranges& ranges() const { return state_.get("ranges"); }

private:
    void publish(std::vector<float> low, std::vector<float> high);

    std::size_t dim_;
    std::size_t bits_;
    Trained<Ranges> state_;
};

}  // namespace nearfield
