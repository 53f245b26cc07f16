// All passes of an exact search over rows: a scan where one suits, and exactly what it leaves open.
#pragma once

#include <algorithm>
#include <memory>

#include "cuda/search/exact_pass.h"
#include "cuda/search/scan_pass.h"

namespace nearfield::cuda {

class RowPasses {
public:
    /// Reserves scratch memory. The request must outlive it.
    RowPasses(const SearchRequest& request, Scratch& scratch);

    /// Enqueues the search for dense float32 queries, tile by tile. take(tile, pairs, found, lengths) enqueues
    /// what becomes of the pairs, `found` a query, before they are overwritten: of a query whose length is 0
    /// nothing (lengths 0: none is). A query that is taken twice is what it was the second time.
    template <class Take>
    void run(const StreamRef& stream, CUdeviceptr queries, std::size_t dim, CUdeviceptr at,
             const Take& take) const {
        const auto part = [&](std::size_t first, std::size_t count) {
            return QueryTile{queries + first * dim * sizeof(float), first, count};
        };
        if (scan_) scan_->prepare_rows(stream, at);
        for (std::size_t first = 0; first < queries_; first += tile_) {
            const std::size_t count = std::min(tile_, queries_ - first);
            ScanPass::Found found;
            if (scan_) {
                found = scan_->run(stream, part(first, count), at);
                take(part(first, count), found.pairs, k_, CUdeviceptr{0});
            }
            for (std::size_t i = 0; i < count; i += exact_.tile()) {
                const QueryTile now = part(first + i, std::min(exact_.tile(), count - i));
                const CUdeviceptr lengths =
                    found.lengths != 0 ? found.lengths + i * sizeof(std::uint32_t) : 0;
                take(now, exact_.find(stream, now, at, lengths), exact_.found(), lengths);
            }
        }
    }

private:
    std::unique_ptr<ScanPass> scan_;  // null: rows are scored exactly from the start
    std::size_t tile_;                // queries at a time
    ExactPass exact_;
    std::size_t k_, queries_;
};

}  // namespace nearfield::cuda
