// Exact search of big batches by thresholds: a sample of the rows says what score a winner has at least, the
// scan keeps the few rows that reach it, and those near the k-th best are scored once more in float64.
//
// A scan by groups writes and selects from a maximum for each 32 rows; here next to nothing is written. Whether
// a threshold was right is known afterwards (kernels/survivors.cu); queries for which it was not, about one
// in 5,000, are left to ExactPass. Nothing is decided on the host, so nothing waits.
// Cost: 65/64 of 2 rows queries dim operations; 20 bytes a place of a query's list.
// Source: own; docs/decisions/0021-thresholds-from-a-sample.md.
#pragma once

#include <optional>

#include "cuda/search/group_pass.h"

namespace nearfield::cuda {

/// The smallest r for which fewer than one in 5,000 queries has r of its k best in a sample of one in 64.
std::size_t sample_rank(std::size_t k) noexcept;

class ThresholdPass final : public ScanPass {
public:
    /// Where the request asks for it, for many queries, and rows enough that few of them are survivors.
    static bool suits(const SearchRequest& request) noexcept;

    ThresholdPass(const SearchRequest& request, Scratch& scratch, const QueryMaking& making = {});

    std::size_t tile() const noexcept override { return tile_; }
    void prepare_rows(const StreamRef& stream, CUdeviceptr scratch) const override;
    void map_queries(const StreamRef& stream, CUdeviceptr scratch) const override {
        queries_->map(stream, constants_.limits(constants_at(scratch)), scratch);
    }
    Found run(const StreamRef& stream, const QueryTile& queries,
              CUdeviceptr scratch) const override;

private:
    void take_places(Scratch& scratch, const QueryMaking& making);
    ScanRows sample(CUdeviceptr at) const;
    void find_thresholds(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void scan(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void scan_by_warpgroups(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void keep_survivors(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void rescore(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void select_best(const StreamRef& stream, unsigned queries, std::size_t k, const Pairs& of,
                     std::size_t length, CUdeviceptr counts, CUdeviceptr at) const;

    CUdeviceptr constants_at(CUdeviceptr at) const noexcept {
        return r_.constants != 0 ? r_.constants : at + own_constants_;
    }

    const SearchRequest& r_;
    std::size_t rank_, samples_, capacity_, tile_;
    RowConstants constants_;
    std::size_t own_constants_ = 0;
    std::optional<ScanQueries> queries_;
    std::size_t panel_ = 0, panel_stride_ = 0, panel_scale_ = 0, panel_bias_ = 0, maxima_ = 0;
    std::size_t thresholds_ = 0, scores_ = 0, rows_ = 0, counts_ = 0;  // of survivors
    std::size_t best_ = 0, best_ids_ = 0, best_keys_ = 0;              // of floats
    std::size_t lists_ = 0, kept_ = 0, keys_ = 0, select_keys_ = 0;    // of exact scores
    std::size_t found_ = 0, found_rows_ = 0, lengths_ = 0;
};

}  // namespace nearfield::cuda
