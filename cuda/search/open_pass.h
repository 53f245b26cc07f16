// What ListPass leaves open, scored exactly: queries with more groups than there was room for, and those whose
// lists hold fewer than k rows that may answer.
//
// The latter look into four times as many lists, and again, until there are enough, as on the CPU: where
// lists lie in groups, into those of the groups that the CPU looks at in that round. Which queries these are
// is found on the device, and asking for their number would make the call wait for it: so the grids are those
// of all queries, and blocks whose query is not open find nothing to do.
// Cost: dim float64 multiply-adds a row of their lists.
#pragma once

#include <functional>
#include <optional>

#include "cuda/runtime/stream.h"
#include "cuda/search/centroid_ranking.h"
#include "cuda/search/exact_pass.h"
#include "cuda/search/listed_rows.h"
#include "cuda/search/row_mask.h"

namespace nearfield::cuda {

class OpenPass {
public:
    /// Whether a search can leave anything open. may_cut: that of ListPass.
    static bool is_needed(const ListRequest& request, bool may_cut) noexcept {
        return may_cut || request.may_widen();
    }

    /// For tiles of at most `most_queries`; capacity: that of ListPass.
    OpenPass(const ListRequest& request, std::size_t most_queries, std::size_t capacity,
             Scratch& scratch);
    OpenPass(const OpenPass&) = delete;
    OpenPass& operator=(const OpenPass&) = delete;

    /// Enqueues what becomes of the pairs of some queries, before they are overwritten: of a query whose length
    /// is 0 nothing.
    using Take = std::function<void(const QueryTile& queries, const Pairs& pairs, std::size_t found,
                                    CUdeviceptr lengths)>;

    /// Enqueues the search of what is open in a tile. counts: of groups, by ListPass.
    void run(const StreamRef& stream, const QueryTile& queries, CUdeviceptr probes,
             CUdeviceptr counts, const Answering& rows, CUdeviceptr scratch,
             const Take& take) const;

    /// Queries at a time, of a search whose rows come part by part.
    std::size_t tile() const noexcept { return tile_; }
    /// Lists that a query looks into, at most.
    std::size_t most_probes() const noexcept { return most_; }
    /// Before the first part: the lists of queries whose own hold too few rows, most_probes() of each query.
    CUdeviceptr widened(const StreamRef& stream, const QueryTile& queries, CUdeviceptr probes,
                        const Answering& rows, CUdeviceptr scratch) const;
    /// The same as run(), of a part, after widened(). asked: queries as the rows are scored by.
    void run_part(const StreamRef& stream, const QueryTile& asked, CUdeviceptr probes,
                  CUdeviceptr counts, const Answering& rows, CUdeviceptr scratch,
                  const Take& take) const;

private:
    void rank(const StreamRef& stream, const QueryTile& q, CUdeviceptr open, CUdeviceptr at) const;
    void find(const StreamRef& stream, const QueryTile& q, CUdeviceptr probes, CUdeviceptr counts,
              const Answering& rows, CUdeviceptr at) const;
    void search(const StreamRef& stream, const QueryTile& q, CUdeviceptr open, CUdeviceptr probes,
                const Answering& rows, CUdeviceptr at, const Take& take) const;
    void widen(const StreamRef& stream, const QueryTile& q, CUdeviceptr open, CUdeviceptr probes,
               const Answering& rows, CUdeviceptr at) const;

    const ListRequest& r_;
    std::size_t capacity_;
    std::uint32_t enough_;  // rows that a query's lists should hold
    std::size_t most_;      // lists that a query looks into
    std::size_t stride_;    // groups that those have
    std::size_t found_count_;
    std::size_t tile_;
    std::optional<CentroidRanking> lists_, groups_of_lists_;
    std::size_t open_, ranks_ = 0;
    std::size_t probes_, places_, groups_, keys_, rows_, pairs_;
    std::size_t select_keys_, found_, found_rows_;
};

}  // namespace nearfield::cuda
