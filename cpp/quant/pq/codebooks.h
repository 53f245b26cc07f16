// Codebooks: m sub-spaces of dim / m dimensions, 2^nbits centroids in each, and what encoding, decoding
// and scoring read from them. Product quantizers with and without a rotation share it.
//
// Encoding works on 64 rows side by side (kernels/generic/lanes.h). Rows and centroids are first moved
// by the middle of each sub-space's centroids and scaled by a power of two, so that |c|^2 / 2 - <x, c>
// neither cancels far from the origin nor overflows: the centroid chosen is the nearest up to a
// relative 2^-20 of the distance between row and sub-space middle.
// Memory: 12 bytes per centroid element. Cost: 2^nbits * dim multiply-adds a row.
// Source: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", 2011.
#pragma once

#include <memory>
#include <vector>

#include "quant/quantizer.h"

namespace nearfield {

/// m sub-quantizers of nbits each over dim dimensions.
struct CodebookShape {
    std::size_t dim = 0;
    std::size_t m = 0;
    std::size_t nbits = 0;

    constexpr std::size_t sub_dim() const noexcept { return dim / m; }
    constexpr std::size_t k() const noexcept { return std::size_t{1} << nbits; }
    constexpr std::size_t code_size() const noexcept { return (m * nbits + 7) / 8; }
    constexpr std::size_t values() const noexcept { return k() * dim; }
};

/// std::invalid_argument unless m divides dim and 4 <= nbits <= 12.
CodebookShape check_shape(std::size_t dim, std::size_t m, std::size_t nbits);

class Codebooks {
public:
    /// values: m x k x sub_dim.
    Codebooks(const CodebookShape& shape, std::vector<float> values);

    const CodebookShape& shape() const noexcept { return shape_; }
    const std::vector<float>& values() const noexcept { return values_; }

    /// What encoding reads: z = (x - centre) * scale within +-limit; the code is the smallest c with the
    /// smallest bias[c] + sum over d of weights[c][d] z[d], fused multiply-adds in the order of d.
    struct Encoding {
        const std::vector<float>& centre;   // dim
        const std::vector<float>& scale;    // dim
        const std::vector<float>& weights;  // m x k x sub_dim
        const std::vector<float>& bias;     // m x k
        float limit;
    };
    Encoding encoding() const noexcept;

    /// Encodes up to 64 rows side by side (dim x kLanes floats, which are overwritten).
    void encode_lanes(float* lanes, std::size_t count, std::uint8_t* codes) const noexcept;
    /// Writes count rows of dim floats.
    void decode(const std::uint8_t* codes, std::size_t count, float* rows) const noexcept;
    /// Scores by look-up tables; refers to *this, which must outlive it.
    std::unique_ptr<CodeScorer> make_scorer(Metric metric, const float* query) const;
    /// The table of one query: m x k scores, larger is better, zero up to the next multiple of 32
    /// sub-quantizers.
    std::vector<float> score_tables(Metric metric, const float* query) const;

private:
    void prepare_encoding(std::size_t j);
    template <std::size_t Width>
    void decode_widths(const std::uint8_t* codes, std::size_t count, float* rows) const noexcept;
    template <std::size_t Width, class Number>
    void copy_centroids(float* row, Number&& number) const noexcept;

    CodebookShape shape_;
    std::vector<float> values_;
    std::vector<float> side_by_side_;  // m x sub_dim x k
    std::vector<float> weights_;       // moved, scaled and negated centroids: m x k x sub_dim
    std::vector<float> bias_;          // half their squared norms: m x k
    std::vector<float> centre_, scale_;
};

/// k-means in every sub-space, over all rows given.
/// iterations as in KMeansOptions.
std::vector<float> train_codebooks(const CodebookShape& shape, MatrixView<float> rows,
                                   int iterations, std::uint64_t seed, int threads);

}  // namespace nearfield
