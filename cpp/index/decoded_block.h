// DecodedBlock: a few rows that exist as a quantizer's codes, turned into byte codes for a scan by panels.
//
// One decoding serves every query that meets the rows, so that the cost of a pair is that of raw rows, and
// any quantizer is searched by the same kernels with certain bounds on the scores of its decoded rows. Rows that
// sign planes find and that a map changes the lengths of (StoredRows::is_reweighted) are read as they are kept.
// Cost: decode() and one pass over the floats a row. Source: own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "index/search.h"
#include "quant/raw/codes.h"

namespace nearfield {

/// How decoded rows are scanned. Under cosine they are unit vectors and scores are inner products, unless a map
/// changes their lengths.
CodeSpec decoded_spec(const StoredRows& rows) noexcept;

class DecodedBlock {
public:
    explicit DecodedBlock(const CodeSpec& spec);

    /// Rows [first, last), at most kBlockRows.
    void fill(const StoredRows& rows, std::size_t first, std::size_t last);

    /// Row i is the (first + i)-th of those that fill() was given.
    const CodeView& codes() const noexcept { return view_; }

private:
    void reweigh(const double* norms, std::size_t i, const RowConstants& c) noexcept;

    std::vector<float> rows_;
    std::vector<float> wide_;
    Buffer codes_;
    std::vector<float> scale_;
    std::vector<float> bias_;
    BlockError error_;
    CodeView view_;
};

}  // namespace nearfield
