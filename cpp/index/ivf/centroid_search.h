// CentroidSearch: the nearest of many centroids, or of some groups of them.
//
// Exact: bounds from codes decide where they can, float64 keys elsewhere (ties: the smaller number), hence the
// same centroids on every level, for any batch and any number of threads. Batches go through bfloat16 panels,
// few queries through a scan of bytes.
// Cost: centroids * dim bfloat16 products a query. Source: own.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "index/ivf/close_bounds.h"
#include "index/lists.h"
#include "index/probes.h"
#include "index/row_adapter.h"
#include "index/row_store.h"

namespace nearfield {

/// Centroids as a map of all rows has them.
struct CentroidAdapter {
    RowAdapter halves;  // as CentroidSearch has them for batches
    RowAdapter bytes;   // and for few queries

    std::size_t size() const noexcept { return halves.bytes() + bytes.bytes(); }
};

class CentroidSearch {
public:
    /// centroids: of dim floats each.
    CentroidSearch(Metric metric, std::size_t dim, std::span<const float> centroids);

    std::size_t size() const noexcept { return store_.count; }
    std::size_t bytes() const noexcept {
        return store_.bytes() + bytes_.bytes() - bytes_.rows.bytes() + close_.bytes();
    }
    const float* centroids() const noexcept { return store_.rows.as<float>(); }
    /// The largest norm of them.
    double max_norm() const noexcept { return store_.max_norm; }

    CentroidAdapter adapted(const std::shared_ptr<const CorpusMap>& map, int threads) const;

    /// The n nearest of all to every query; what bounds say is the nearest comes first. adapter: null, or how
    /// centroids count; queries are folded then.
    std::vector<Id> nearest(MatrixView<float> queries, std::size_t n,
                            const CentroidAdapter* adapter, int threads) const;

    /// Of those in the groups that each query probes, which hold n at least.
    std::vector<Id> nearest_among(const Lists& groups, const Probes& probes,
                                  MatrixView<float> queries, std::size_t n,
                                  const CentroidAdapter* adapter, int threads) const;

    /// Of centroids; as they are they count as unit vectors except under l2.
    ExactScorer scorer(const CentroidAdapter* adapter) const {
        const StoredRows rows = halves(adapter);
        if (adapter != nullptr) return rows.kept_scorer();
        const bool is_l2 = store_.spec.metric == Metric::kL2;
        return {is_l2 ? Metric::kL2 : Metric::kIp, rows.rows, nullptr};
    }

private:
    StoredRows halves(const CentroidAdapter* adapter) const noexcept {
        return store_.view(nullptr, adapter != nullptr ? &adapter->halves : nullptr);
    }
    StoredRows bytes(const CentroidAdapter* adapter) const noexcept {
        return bytes_.view(nullptr, adapter != nullptr ? &adapter->bytes : nullptr);
    }

    RowStore store_;  // as bfloat16, for batches
    RowStore bytes_;  // the same centroids as bytes, for few queries
    CloseBounds close_;
};

}  // namespace nearfield
