// Scores of many queries with many codes, for users and measurements; indexes hold scorers themselves.
#pragma once

#include "quant/quantizer.h"

namespace nearfield {

/// out[i * n + j]: the score of query i with code j, larger is better, see CodeScorer.
/// std::invalid_argument where a query is not finite.
void score_codes(const Quantizer& quantizer, Metric metric, MatrixView<float> queries,
                 const std::uint8_t* codes, std::size_t n, float* out, int threads);

}  // namespace nearfield
