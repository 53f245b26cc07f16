// ProductQuantizer, see product_quantizer.h.
#include "quant/pq/product_quantizer.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/resolve.h"

namespace nearfield {
namespace {

constexpr std::size_t kBlockRows = kernels::kLanes;

std::size_t block_count(std::size_t rows) { return (rows + kBlockRows - 1) / kBlockRows; }

}  // namespace

void require_training_rows(const CodebookShape& shape, std::size_t rows) {
    if (rows < shape.k()) {
        throw std::invalid_argument("got " + std::to_string(rows) +
                                    " rows to train on, expected at least " +
                                    std::to_string(shape.k()) + " (2^nbits)");
    }
}

ProductQuantizer::ProductQuantizer(std::size_t dim, std::size_t m, std::size_t nbits)
    : shape_(check_shape(dim, m, nbits)) {}

std::string ProductQuantizer::name() const {
    return "pq" + std::to_string(shape_.m) + "x" + std::to_string(shape_.nbits);
}

void ProductQuantizer::train(MatrixView<float> rows, std::uint64_t seed, int threads) {
    state_.require_empty();
    require_columns(rows, shape_.dim);
    require_training_rows(shape_, rows.rows);
    require_finite(rows, threads);
    const auto sample = training_sample(rows, most_training_rows(shape_), seed);
    const MatrixView<float> view(sample.data(), sample.size() / shape_.dim, shape_.dim);
    state_.publish(std::make_unique<Codebooks>(
        shape_, train_codebooks(shape_, view, kCodebookIterations, seed, threads)));
}

void ProductQuantizer::encode(MatrixView<float> rows, std::uint8_t* codes, int threads) const {
    const Codebooks& books = state_.get("encode");
    require_columns(rows, shape_.dim);
    require_finite(rows, threads);
    const auto& kernel = kernels::active();
    std::vector<std::vector<float>> scratch(static_cast<std::size_t>(max_workers(threads)));
    parallel_for(block_count(rows.rows), threads, [&](std::size_t block, int worker) {
        auto& lanes = scratch[static_cast<std::size_t>(worker)];
        lanes.resize(shape_.dim * kernels::kLanes);
        const std::size_t first = block * kBlockRows;
        const std::size_t count = std::min(kBlockRows, rows.rows - first);
        kernel.lanes_from_rows(rows.row(first), rows.stride, count, shape_.dim, lanes.data());
        books.encode_lanes(lanes.data(), count, codes + first * code_size());
    });
}

void ProductQuantizer::decode(const std::uint8_t* codes, std::size_t n, float* rows,
                              int threads) const {
    const Codebooks& books = state_.get("decode");
    parallel_for(block_count(n), threads, [&](std::size_t block, int) {
        const std::size_t first = block * kBlockRows;
        books.decode(codes + first * code_size(), std::min(kBlockRows, n - first),
                     rows + first * shape_.dim);
    });
}

std::unique_ptr<CodeScorer> ProductQuantizer::make_scorer(Metric metric, const float* query) const {
    return state_.get("make_scorer").make_scorer(metric, query);
}

void ProductQuantizer::scan_tables(Metric metric, const float* query, float* tables) const {
    const auto found = state_.get("scan_tables").score_tables(metric, query);
    std::copy_n(found.begin(), shape_.m * shape_.k(), tables);
}

std::vector<Parameter> ProductQuantizer::parameters() const {
    const Codebooks& books = state_.get("parameters");
    return {{"codebooks", shape_.m * shape_.k(), shape_.sub_dim(), books.values()}};
}

void ProductQuantizer::restore(std::span<const Parameter> parameters) {
    state_.require_empty();
    expect_count(parameters, 1);
    const Parameter& books =
        expect_parameter(parameters, "codebooks", shape_.m * shape_.k(), shape_.sub_dim());
    state_.publish(std::make_unique<Codebooks>(shape_, books.values));
}

}  // namespace nearfield
