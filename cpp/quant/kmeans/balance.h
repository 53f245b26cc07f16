// Clusters of bounded size: prices that turn rows away from crowded clusters, then a repair that is certain.
//
// First small clusters are merged in pairs, the cheapest first, and what that frees takes halves of the largest:
// prices alone cannot carry a cluster from one group of rows to another. Then every cluster gets a price that is
// subtracted from its scores: it rises while the cluster has too many rows and falls again when it has not, in
// steps of its own that grow while they go one way and shrink when they turn. Prices move boundaries cheaply but
// promise nothing (of rows that lie together all leave at once), so at last the rows of clusters that are still
// too large go to the nearest cluster with room, the cheapest moves first, until none is.
// Cost: kRegroups times kBetween, kPricings and kRepairs iterations over all rows, and for every round of repair
// a comparison of the rows in clusters that are too large with the clusters that have room.
// Source: own; prices as in the auction algorithm (Bertsekas, 1988).
#pragma once

#include <cstddef>

#include "quant/kmeans/lloyd.h"

namespace nearfield {

/// The most rows a cluster may have: `balance` times the mean, and enough for all rows.
std::size_t largest_size(std::size_t rows, std::size_t k, double balance) noexcept;

/// Goes on from Lloyd's iterations until no cluster has more than largest_size() rows. state.nearest is then
/// that assignment and the centroids are its means.
void balance(MatrixView<float> rows, NearestCentroid& search, const KMeansOptions& options,
             int threads, LloydState& state);

/// Moves rows until no cluster has more than `most`; rows.rows <= k * most.
void repair(MatrixView<float> rows, const Centroids& centroids, std::size_t most, Id* nearest,
            int threads);

}  // namespace nearfield
