// Adaptive stop: of the lists a query may look into, those much further than its nearest are left out.
//
// How many lists hold a query's neighbours differs from query to query: one at the middle of a cluster needs
// few, one between clusters many. Neither a fixed number of lists nor a fixed margin is best; a larger
// number cut by a margin looks into 13 to 27 % fewer rows at equal recall (docs/decisions/0011).
// It depends on the query and the centroids alone, hence not on batch, threads or level.
// Cost: one exact distance a list.
#pragma once

#include <cstddef>
#include <span>

#include "base/types.h"
#include "base/view.h"
#include "quant/raw/exact.h"

namespace nearfield {

/// lists: queries.rows x nprobe, of which those further than `margin` become kNoList. Distances are Euclidean
/// under l2; under ip and cosine, where centroids are unit vectors, they are differences of cosines.
/// scorer: of centroids.
void leave_out_far(std::span<Id> lists, std::size_t nprobe, MatrixView<float> queries,
                   const ExactScorer& scorer, double margin, int threads);

}  // namespace nearfield
