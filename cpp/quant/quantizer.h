// Quantizer: trained state that turns vectors into small codes and back.
//
// decode(encode(x)) is what an index with this quantizer stores for x: exhaustive search over codes
// answers exactly for the decoded rows, and whatever is quicker (tables of bytes, fewer bits) only
// proposes, within a stated error. A Quantizer holds no vectors; once trained it never changes, so that
// any number of threads may use it.
// A new one is a folder below quant/ and one line in quant/registry.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "base/view.h"

namespace nearfield {

/// One trained array, row-major: what a file stores and Python shows.
struct Parameter {
    std::string name;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::vector<float> values;
};

/// One query bound to a quantizer; not shared between threads.
class CodeScorer {
public:
    virtual ~CodeScorer() = default;

    /// The query's score with each of n consecutive codes, larger is better: ip <q, x'>, l2 -|q - x'|^2,
    /// for x' the decoded row. Float32 arithmetic, same values for any split into calls.
    virtual void scores(const std::uint8_t* codes, std::size_t n, float* out) const noexcept = 0;
};

class Quantizer {
public:
    virtual ~Quantizer() = default;

    /// As index constructors take it: "sq8", "pq48x8", "opq48x4", "rabitq4".
    virtual std::string name() const = 0;
    virtual std::size_t dim() const noexcept = 0;
    /// Bytes of one code.
    virtual std::size_t code_size() const noexcept = 0;
    virtual bool is_trained() const noexcept = 0;

    /// Learns from rows of dim() floats; the same for any number of threads (0: the default).
    /// std::invalid_argument for too few rows or rows that are not finite; then nothing has changed.
    virtual void train(MatrixView<float> rows, std::uint64_t seed, int threads) = 0;

    /// Writes rows.rows * code_size() bytes. NotTrained before train(); std::invalid_argument names the
    /// first row that is not finite.
    virtual void encode(MatrixView<float> rows, std::uint8_t* codes, int threads) const = 0;

    /// Writes n * dim() floats. Any bytes are a code: none is invalid.
    virtual void decode(const std::uint8_t* codes, std::size_t n, float* rows,
                        int threads) const = 0;

    /// metric: l2 or ip; cosine is ip over rows that were normalised before they were encoded.
    virtual std::unique_ptr<CodeScorer> make_scorer(Metric metric, const float* query) const = 0;

    // Where codes are of rotated rows, searches stay on the far side of the rotation: it is done once a
    // query instead of once a row, and scores there are those of decoded rows.

    virtual bool rotates() const noexcept { return false; }
    /// Writes rows.rows * dim() floats. Only where rotates().
    virtual void rotate(MatrixView<float> rows, float* rotated, int threads) const;
    /// decode(), not rotated back.
    virtual void decode_rotated(const std::uint8_t* codes, std::size_t n, float* rows) const {
        decode(codes, n, rows, 1);
    }
    /// make_scorer() for a query that is rotated.
    virtual std::unique_ptr<CodeScorer> make_rotated_scorer(Metric metric,
                                                            const float* query) const {
        return make_scorer(metric, query);
    }

    /// How many numbers of 4 bits a code is, where a fast scan can read it (quant/pq/fast_scan.h); else 0.
    virtual std::size_t scan_numbers() const noexcept { return 0; }
    /// Writes scan_numbers() x 16 scores of a query that is rotated; their sum is the score of a code.
    virtual void scan_tables(Metric metric, const float* query, float* tables) const;

    /// Everything train() has found.
    virtual std::vector<Parameter> parameters() const = 0;

    /// Takes parameters() of an equally named quantizer, from a file. std::invalid_argument unless they
    /// have the expected names, shapes and finite values; then nothing has changed.
    virtual void restore(std::span<const Parameter> parameters) = 0;
};

/// A quantizer by name. std::invalid_argument for an unknown name (the message lists the known ones) or
/// one that does not fit dim.
std::unique_ptr<Quantizer> make_quantizer(const std::string& name, std::size_t dim);

}  // namespace nearfield
