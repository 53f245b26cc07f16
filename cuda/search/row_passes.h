// All passes of an exact search over rows: a scan where one suits, and exactly what it leaves open.
#pragma once

#include <algorithm>
#include <memory>

#include "cuda/search/exact_pass.h"
#include "cuda/search/fallbacks.h"
#include "cuda/search/folded_queries.h"
#include "cuda/search/mapped_queries.h"
#include "cuda/search/scan_pass.h"

namespace nearfield::cuda {

class RowPasses {
public:
    /// Reserves scratch memory. The request must outlive it.
    /// mapped: the queries, where they are mapped first.
    RowPasses(const SearchRequest& request, Scratch& scratch,
              const MappedQueries* mapped = nullptr);

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
        if (mapped_ != nullptr) map(stream, at);
        if (folded_) folded_->fold(stream, queries, at);
        for (std::size_t first = 0; first < queries_; first += tile_) {
            const std::size_t count = std::min(tile_, queries_ - first);
            ScanPass::Found found;
            if (scan_) {
                found = scan_->run(stream, part(first, count), at);
                if (folded_) folded_->finish(stream, part(first, count), 0, k_, found.pairs.keys);
                take(part(first, count), found.pairs, k_, CUdeviceptr{0});
                count_fallbacks(stream, found.lengths, count);
            }
            for (std::size_t i = 0; i < count; i += exact_.tile()) {
                const QueryTile now = part(first + i, std::min(exact_.tile(), count - i));
                const CUdeviceptr lengths =
                    found.lengths != 0 ? found.lengths + i * sizeof(std::uint32_t) : 0;
                const Pairs pairs = exact_.find(stream, now, at, lengths);
                if (folded_ && pairs.keys != 0) {
                    folded_->finish(stream, now, lengths, exact_.found(), pairs.keys);
                }
                take(now, pairs, exact_.found(), lengths);
            }
        }
    }

private:
    void map(const StreamRef& stream, CUdeviceptr at) const;

    const MappedQueries* mapped_;
    std::unique_ptr<FoldedQueries> folded_;  // null: rows are searched as they are
    std::unique_ptr<ScanPass> scan_;         // null: rows are scored exactly from the start
    std::size_t tile_;                       // queries at a time
    ExactPass exact_;
    std::size_t k_, queries_;
};

}  // namespace nearfield::cuda
