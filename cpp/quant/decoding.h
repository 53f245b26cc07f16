// Decoding: how codes are read back without their quantizer, for whoever does it elsewhere.
//
// kScalar: x[k] = table[dim + k] * number k + table[k]; numbers of 8 bits, or of 4, even ones low.
// kBooks: number j of a code, `bits` wide, lowest bit first, names one of 2^bits centroids of sub-space j;
// table has them as m x 2^bits x dim / m. Where the quantizer rotates, rows come out rotated.
// kGrid: RaBitQ. Elements are bit planes, most significant first, less the middle, times the code's scale;
// then the rotation's rounds backwards and the centre; table has rounds x rotated_dim factors, then the
// centre.
// Source: the quantizers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "quant/quantizer.h"

namespace nearfield {

struct Decoding {
    enum class Way : std::uint8_t { kScalar, kBooks, kGrid };

    Way way = Way::kScalar;
    std::size_t dim = 0;
    std::size_t code_size = 0;
    std::size_t bits = 0;   // of a number
    std::size_t width = 1;  // kBooks: dimensions of a sub-space
    std::size_t rotated_dim =
        0;  // kGrid: of these, `window` in a Hadamard transform, for `rounds` times
    std::size_t window = 0;
    std::size_t rounds = 0;
    std::vector<float> table;
    std::vector<float> rotation;  // of queries, dim x dim, where rows come out rotated; else empty
};

/// Of a quantizer that is trained. std::invalid_argument for one that is not known here.
Decoding decoding_of(const Quantizer& quantizer);

}  // namespace nearfield
