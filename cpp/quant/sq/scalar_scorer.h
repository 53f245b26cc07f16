// One query against scalar codes: the products of decoded values, decoded in registers.
#pragma once

#include "quant/sq/scalar_quantizer.h"

namespace nearfield {

/// The scorer refers to ranges, which must outlive it.
std::unique_ptr<CodeScorer> make_scalar_scorer(const ScalarQuantizer::Ranges& ranges,
                                               std::size_t dim, Metric metric, const float* query);

}  // namespace nearfield
