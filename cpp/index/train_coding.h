// Training of the quantizer that codes an index's rows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/view.h"
#include "index/row_coding.h"

namespace nearfield {

/// The lists of some rows.
using Assign = std::function<std::vector<Id>(MatrixView<float>)>;

/// `coding` with a quantizer trained on these rows, or on a sample of them drawn by seed; as it is where that
/// is trained already. assign: needed where codes are about centroids. std::invalid_argument for too few
/// rows, or rows that are not finite.
std::shared_ptr<const RowCoding> train_coding(const RowCoding& coding, const RowsView& rows,
                                              Metric metric, std::uint64_t seed,
                                              const Assign& assign, int threads);

}  // namespace nearfield
