// The mean of rows, the same for any number of threads: fixed slices of rows are summed in float64, then
// the slices in order.
#pragma once

#include <vector>

#include "base/view.h"

namespace nearfield {

/// std::invalid_argument for no rows, or names the first row that is not finite.
std::vector<float> mean_of_rows(MatrixView<float> rows, int threads);

}  // namespace nearfield
