// Modulation: exp(z - max z) * x with z = W^T w + b, w weighing the tokens of a query.
//
// Sparse weights are an embedding bag: sorted by id, the largest of equal ids kept, so that neither the order
// nor repetitions matter. Dense ones are products of rows with W as it lies in memory. The factors are those
// of the softmax of z but for one positive number per query.
// Cost: (tokens + 3) * dim multiply-adds a query, or vocab * dim for dense weights.
// Source: LexSemBridge, its public repository (Jasaxion/LexSemBridge), for what w is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/view.h"

namespace nearfield {

/// Token ids of many rows: row i has those from offsets[i] to offsets[i + 1].
struct TokenRows {
    std::span<const std::int64_t> ids;
    std::span<const std::int64_t> offsets;
    const float* weights;  // one per id; null where a token's presence is all that counts
};

/// Tokens as they are weighed: those of row i, rising and each once, from offsets[i] to offsets[i + 1].
struct TokenBags {
    std::vector<std::uint64_t> offsets;
    std::vector<std::uint32_t> ids;
    std::vector<float> weights;
};

/// What a token's weight is: one number for all, relu of the given one, or log(1 + relu) of it.
enum class TokenWeight { kConstant, kRelu, kLogRelu };

/// "constant", "relu", "log_relu"; std::invalid_argument for another name.
TokenWeight token_weight_from(const std::string& name);

struct ModulationSpec {
    TokenWeight weight = TokenWeight::kConstant;
    float constant = 1.0f;
    bool normalize = true;
};

class Modulation {
public:
    /// w: vocab x dim, not copied; bias: dim floats or none. std::invalid_argument for shapes or special
    /// ids that do not fit.
    Modulation(MatrixView<float> w, std::vector<float> bias, std::span<const std::int64_t> special,
               const ModulationSpec& spec);

    std::size_t dim() const noexcept { return w_.cols; }
    std::size_t vocab() const noexcept { return w_.rows; }

    /// std::invalid_argument for tokens that do not fit, and as Transform::apply().
    void apply(MatrixView<float> x, const TokenRows& tokens, float* out, int threads) const;
    /// The same with a weight for every token of the vocabulary.
    void apply(MatrixView<float> x, MatrixView<float> weights, float* out, int threads) const;

    /// What apply() makes of tokens, for who sums elsewhere. std::invalid_argument for tokens that do not fit.
    TokenBags bags(std::size_t rows, const TokenRows& tokens) const;
    /// The same of dense weights: rows x vocab floats, 0 where a token is dropped.
    std::vector<float> weighed(MatrixView<float> weights) const;

private:
    struct Bag;
    void check(std::size_t rows, const TokenRows& tokens) const;
    float weigh(float given) const noexcept;
    void fill(Bag& bag, const TokenRows& tokens, std::size_t row) const;
    void add_dense(MatrixView<float> weights, std::size_t first, std::size_t rows, float* chunk,
                   float* z) const noexcept;
    void finish(const float* z, const float* x, float* out) const noexcept;

    MatrixView<float> w_;
    std::vector<float> bias_;
    std::vector<std::uint8_t> special_;  // per token: 1 where its weight is dropped
    ModulationSpec spec_;
};

}  // namespace nearfield
