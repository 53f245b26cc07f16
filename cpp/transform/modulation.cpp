#include "transform/modulation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/parallel.h"
#include "kernels/resolve.h"
#include "transform/bias.h"
#include "transform/diagonal.h"
#include "transform/finite_check.h"
#include "transform/row_blocks.h"

namespace nearfield {
namespace {

/// Tokens whose dense weights are in use at a time: whole blocks of products.
constexpr std::size_t kChunk = 8 * kernels::kProductBlock;

std::invalid_argument misfit(const std::string& what) {
    return std::invalid_argument("tokens: " + what);
}

}  // namespace

TokenWeight token_weight_from(const std::string& name) {
    constexpr const char* kNames[] = {"constant", "relu", "log_relu"};
    for (int i = 0; i < 3; ++i) {
        if (name == kNames[i]) return static_cast<TokenWeight>(i);
    }
    throw std::invalid_argument("kind: got '" + name + "', expected constant, relu or log_relu");
}

/// The distinct tokens of one query and their weights.
struct Modulation::Bag {
    std::vector<std::pair<std::uint32_t, float>> given;
    std::vector<std::uint32_t> ids;
    std::vector<float> weights;
};

Modulation::Modulation(MatrixView<float> w, std::vector<float> bias,
                       std::span<const std::int64_t> special, const ModulationSpec& spec)
    : w_(w), bias_(std::move(bias)), special_(w.rows, 0), spec_(spec) {
    if (w.rows == 0 || w.cols == 0 || w.rows > std::numeric_limits<std::uint32_t>::max()) {
        throw std::invalid_argument("weight: got " + std::to_string(w.rows) + " x " +
                                    std::to_string(w.cols) + ", expected vocab x dim");
    }
    if (!bias_.empty() && bias_.size() != w.cols) {
        throw std::invalid_argument("bias: got " + std::to_string(bias_.size()) +
                                    " elements, expected " + std::to_string(w.cols));
    }
    for (const std::int64_t id : special) {
        if (id < 0 || static_cast<std::size_t>(id) >= w.rows) {
            throw std::invalid_argument("special_ids: got " + std::to_string(id) +
                                        ", expected ids from 0 to " + std::to_string(w.rows - 1));
        }
        special_[static_cast<std::size_t>(id)] = 1;
    }
}

float Modulation::weigh(float given) const noexcept {
    if (spec_.weight == TokenWeight::kConstant) return spec_.constant;
    const float positive = given > 0.0f ? given : 0.0f;
    if (spec_.weight == TokenWeight::kRelu) return positive;
    return static_cast<float>(std::log1p(static_cast<double>(positive)));
}

void Modulation::check(std::size_t rows, const TokenRows& tokens) const {
    if (tokens.offsets.size() != rows + 1) {
        throw misfit("got " + std::to_string(tokens.offsets.size()) + " offsets for " +
                     std::to_string(rows) + " queries, expected one more than queries");
    }
    const auto count = static_cast<std::int64_t>(tokens.ids.size());
    if (tokens.offsets.front() != 0 || tokens.offsets.back() != count ||
        !std::is_sorted(tokens.offsets.begin(), tokens.offsets.end())) {
        throw misfit("got offsets that do not rise from 0 to " + std::to_string(count));
    }
    for (std::size_t i = 0; i < tokens.ids.size(); ++i) {
        if (tokens.ids[i] < 0 || tokens.ids[i] >= static_cast<std::int64_t>(vocab())) {
            throw misfit("got the id " + std::to_string(tokens.ids[i]) + " at " +
                         std::to_string(i) + ", expected ids from 0 to " +
                         std::to_string(vocab() - 1) + ", rows of weight");
        }
        if (tokens.weights != nullptr && !std::isfinite(tokens.weights[i])) {
            throw misfit("got a weight at " + std::to_string(i) + " that is not finite");
        }
    }
}

void Modulation::fill(Bag& bag, const TokenRows& tokens, std::size_t row) const {
    bag.given.clear();
    bag.ids.clear();
    bag.weights.clear();
    for (auto i = tokens.offsets[row]; i < tokens.offsets[row + 1]; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const auto id = static_cast<std::size_t>(tokens.ids[at]);
        if (special_[id] != 0) continue;
        const float given = tokens.weights == nullptr ? 0.0f : tokens.weights[at];
        bag.given.emplace_back(static_cast<std::uint32_t>(id), weigh(given));
    }
    std::sort(bag.given.begin(), bag.given.end());
    for (const auto& [id, weight] : bag.given) {
        if (!bag.ids.empty() && bag.ids.back() == id) {
            bag.weights.back() = weight;  // the larger one: pairs are sorted
        } else {
            bag.ids.push_back(id);
            bag.weights.push_back(weight);
        }
    }
}

TokenBags Modulation::bags(std::size_t rows, const TokenRows& tokens) const {
    check(rows, tokens);
    TokenBags out{{0}, {}, {}};
    Bag bag;
    for (std::size_t i = 0; i < rows; ++i) {
        fill(bag, tokens, i);
        out.ids.insert(out.ids.end(), bag.ids.begin(), bag.ids.end());
        out.weights.insert(out.weights.end(), bag.weights.begin(), bag.weights.end());
        out.offsets.push_back(out.ids.size());
    }
    return out;
}

std::vector<float> Modulation::weighed(MatrixView<float> weights) const {
    if (weights.cols != vocab()) {
        throw misfit("got weights of " + std::to_string(weights.cols) + " tokens, expected " +
                     std::to_string(vocab()));
    }
    std::vector<float> out(weights.rows * vocab());
    for (std::size_t i = 0; i < weights.rows; ++i) {
        for (std::size_t t = 0; t < vocab(); ++t) {
            if (special_[t] == 0) out[i * vocab() + t] = weigh(weights.row(i)[t]);
        }
    }
    return out;
}

void Modulation::finish(const float* z, const float* x, float* out) const noexcept {
    kernels::active().modulate_f32(z, x, dim(), out);
    if (spec_.normalize) normalize_row(out, dim());
}

void Modulation::apply(MatrixView<float> x, const TokenRows& tokens, float* out,
                       int threads) const {
    check(x.rows, tokens);
    const RowBlocks blocks(x.rows, threads);
    FiniteCheck finite;
    parallel_for(blocks.count(), threads, [&](std::size_t block, int) {
        const auto [first, rows] = blocks.block(block);
        Bag bag;
        std::vector<float> z(dim());
        for (std::size_t i = first; i < first + rows; ++i) {
            finite.before(x.row(i), dim(), i);
            fill(bag, tokens, i);
            fill_rows(bias_, 1, dim(), z.data());
            kernels::active().add_weighted_rows_f32(w_.data, dim(), bag.ids.data(),
                                                    bag.weights.data(), bag.ids.size(), dim(),
                                                    z.data());
            finish(z.data(), x.row(i), out + i * dim());
            finite.after(out + i * dim(), dim(), i);
        }
    });
    finite.raise();
}

/// z += weights of tokens from `first` on, `chunk` rows side by side.
void Modulation::add_dense(MatrixView<float> weights, std::size_t first, std::size_t rows,
                           float* chunk, float* z) const noexcept {
    const std::size_t count = std::min(kChunk, vocab() - first);
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t t = 0; t < count; ++t) {
            const bool dropped = special_[first + t] != 0;
            chunk[i * count + t] = dropped ? 0.0f : weigh(weights.row(i)[first + t]);
        }
    }
    const float* const w = w_.row(first);
    if (dim() % kernels::kPanelOutputs == 0) {
        kernels::active().multiply_rows_f32(
            {chunk, count, rows, count, w, kernels::kPanelOutputs, dim(), dim(), z, dim(), true});
        return;
    }
    // Panels would reach past the last row. The same order, row by row.
    std::uint32_t ids[kChunk];
    for (std::size_t t = 0; t < count; ++t) ids[t] = static_cast<std::uint32_t>(t);
    for (std::size_t i = 0; i < rows; ++i) {
        kernels::active().add_weighted_rows_f32(w, dim(), ids, chunk + i * count, count, dim(),
                                                z + i * dim());
    }
}

void Modulation::apply(MatrixView<float> x, MatrixView<float> weights, float* out,
                       int threads) const {
    if (weights.rows != x.rows || weights.cols != vocab()) {
        throw misfit("got weights of shape (" + std::to_string(weights.rows) + ", " +
                     std::to_string(weights.cols) + "), expected (" + std::to_string(x.rows) +
                     ", " + std::to_string(vocab()) + ")");
    }
    const RowBlocks blocks(x.rows, threads);
    FiniteCheck finite;
    parallel_for(blocks.count(), threads, [&](std::size_t block, int) {
        const auto [first, rows] = blocks.block(block);
        std::vector<float> chunk(rows * kChunk);
        std::vector<float> z(rows * dim());
        fill_rows(bias_, rows, dim(), z.data());
        const MatrixView<float> own(weights.row(first), rows, weights.cols, weights.stride);
        for (std::size_t t = 0; t < vocab(); t += kChunk) {
            checkpoint();
            add_dense(own, t, rows, chunk.data(), z.data());
        }
        for (std::size_t i = 0; i < rows; ++i) {
            finite.before(x.row(first + i), dim(), first + i);
            finite.before(own.row(i), vocab(), first + i);
            finish(z.data() + i * dim(), x.row(first + i), out + (first + i) * dim());
            finite.after(out + (first + i) * dim(), dim(), first + i);
        }
    });
    finite.raise();
}

}  // namespace nearfield
