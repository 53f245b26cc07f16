// OpqQuantizer, see opq.h; training is in opq_train.cpp.
#include "quant/pq/opq.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "kernels/resolve.h"
#include "quant/pq/orthogonal.h"
#include "quant/pq/product_quantizer.h"

namespace nearfield {
namespace {

constexpr std::size_t kBlockRows = kernels::kLanes;
constexpr std::size_t kMostDim = 4096;  // beyond, the rotation costs hours and gigabytes

/// At most 65,536 rows and 2^25 values, but 32 rows a centroid.
std::size_t most_rows(const CodebookShape& shape) {
    const std::size_t rows = std::min<std::size_t>(65536, (std::size_t{1} << 25) / shape.dim);
    return std::max(rows, 32 * shape.k());
}

std::size_t block_count(std::size_t rows) { return (rows + kBlockRows - 1) / kBlockRows; }

/// out = matrix times 64 vectors side by side.
void rotate_lanes(const std::vector<float>& matrix, std::size_t dim, const float* lanes,
                  float* out) noexcept {
    kernels::active().multiply_lanes(
        {matrix.data(), dim, dim, lanes, kernels::kLanes, dim, out, kernels::kLanes, false});
}

void require_rotation(const Parameter& rotation) {
    const std::size_t dim = rotation.cols;
    const auto& kernel = kernels::active();
    for (std::size_t i = 0; i < dim; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            const double product = kernel.ip_f32(rotation.values.data() + i * dim,
                                                 rotation.values.data() + j * dim, dim);
            if (!(std::fabs(product - (i == j ? 1.0 : 0.0)) < 1e-3)) {
                throw std::invalid_argument("parameter rotation: rows " + std::to_string(i) +
                                            " and " + std::to_string(j) +
                                            " have the inner product " + std::to_string(product) +
                                            ", expected orthonormal rows");
            }
        }
    }
}

}  // namespace

OpqQuantizer::OpqQuantizer(std::size_t dim, std::size_t m, std::size_t nbits)
    : shape_(check_shape(dim, m, nbits)) {
    if (dim > kMostDim) {
        throw std::invalid_argument("dim: got " + std::to_string(dim) +
                                    " for OPQ, expected at most " + std::to_string(kMostDim) +
                                    "; use pq" + std::to_string(m) + "x" + std::to_string(nbits));
    }
}

std::string OpqQuantizer::name() const {
    return "opq" + std::to_string(shape_.m) + "x" + std::to_string(shape_.nbits);
}

void OpqQuantizer::train(MatrixView<float> rows, std::uint64_t seed, int threads) {
    state_.require_empty();
    require_columns(rows, shape_.dim);
    require_training_rows(shape_, rows.rows);
    require_finite(rows, threads);
    const auto sample = training_sample(rows, most_rows(shape_), seed);
    const MatrixView<float> view(sample.data(), sample.size() / shape_.dim, shape_.dim);
    state_.publish(std::make_unique<RotatedCodebooks>(train_rotated(shape_, view, seed, threads)));
}

void OpqQuantizer::encode(MatrixView<float> rows, std::uint8_t* codes, int threads) const {
    const RotatedCodebooks& state = state_.get("encode");
    require_columns(rows, shape_.dim);
    require_finite(rows, threads);
    const auto& kernel = kernels::active();
    const std::size_t size = shape_.dim * kernels::kLanes;
    std::vector<std::vector<float>> scratch(static_cast<std::size_t>(max_workers(threads)));
    parallel_for(block_count(rows.rows), threads, [&](std::size_t block, int worker) {
        auto& lanes = scratch[static_cast<std::size_t>(worker)];
        lanes.resize(2 * size);
        const std::size_t first = block * kBlockRows;
        const std::size_t count = std::min(kBlockRows, rows.rows - first);
        kernel.lanes_from_rows(rows.row(first), rows.stride, count, shape_.dim, lanes.data());
        rotate_lanes(state.rotation, shape_.dim, lanes.data(), lanes.data() + size);
        state.books.encode_lanes(lanes.data() + size, count, codes + first * code_size());
    });
}

void OpqQuantizer::decode(const std::uint8_t* codes, std::size_t n, float* rows,
                          int threads) const {
    const RotatedCodebooks& state = state_.get("decode");
    const auto& kernel = kernels::active();
    const std::size_t dim = shape_.dim;
    const std::size_t size = dim * kernels::kLanes;
    parallel_for(block_count(n), threads, [&](std::size_t block, int) {
        const std::size_t first = block * kBlockRows;
        const std::size_t count = std::min(kBlockRows, n - first);
        std::vector<float> lanes(2 * size);
        float* const out = rows + first * dim;
        state.books.decode(codes + first * code_size(), count, out);
        kernel.lanes_from_rows(out, dim * sizeof(float), count, dim, lanes.data());
        rotate_lanes(state.inverse, dim, lanes.data(), lanes.data() + size);
        for (std::size_t r = 0; r < count; ++r) {
            for (std::size_t k = 0; k < dim; ++k) {
                out[r * dim + k] = lanes[size + k * kernels::kLanes + r];
            }
        }
    });
}

void OpqQuantizer::rotate(MatrixView<float> rows, float* rotated, int threads) const {
    const RotatedCodebooks& state = state_.get("rotate");
    const std::size_t dim = shape_.dim;
    parallel_for(rows.rows, threads, [&](std::size_t row, int) {
        for (std::size_t i = 0; i < dim; ++i) {
            rotated[row * dim + i] = static_cast<float>(
                kernels::active().ip_f32(rows.row(row), state.rotation.data() + i * dim, dim));
        }
    });
}

void OpqQuantizer::decode_rotated(const std::uint8_t* codes, std::size_t n, float* rows) const {
    state_.get("decode").books.decode(codes, n, rows);
}

std::unique_ptr<CodeScorer> OpqQuantizer::make_rotated_scorer(Metric metric,
                                                              const float* query) const {
    return state_.get("make_scorer").books.make_scorer(metric, query);
}

void OpqQuantizer::scan_tables(Metric metric, const float* query, float* tables) const {
    const auto found = state_.get("scan_tables").books.score_tables(metric, query);
    std::copy_n(found.begin(), shape_.m * shape_.k(), tables);
}

std::unique_ptr<CodeScorer> OpqQuantizer::make_scorer(Metric metric, const float* query) const {
    std::vector<float> rotated(shape_.dim);
    rotate({query, 1, shape_.dim}, rotated.data(), 1);
    return make_rotated_scorer(metric, rotated.data());
}

std::vector<Parameter> OpqQuantizer::parameters() const {
    const RotatedCodebooks& state = state_.get("parameters");
    return {{"rotation", shape_.dim, shape_.dim, state.rotation},
            {"codebooks", shape_.m * shape_.k(), shape_.sub_dim(), state.books.values()}};
}

void OpqQuantizer::restore(std::span<const Parameter> parameters) {
    state_.require_empty();
    expect_count(parameters, 2);
    const Parameter& rotation = expect_parameter(parameters, "rotation", shape_.dim, shape_.dim);
    const Parameter& books =
        expect_parameter(parameters, "codebooks", shape_.m * shape_.k(), shape_.sub_dim());
    require_rotation(rotation);
    state_.publish(std::make_unique<RotatedCodebooks>(RotatedCodebooks{
        rotation.values, transpose(rotation.values, shape_.dim), Codebooks(shape_, books.values)}));
}

}  // namespace nearfield
