// Exact search by group maxima: a scan on tensor cores keeps the best of each 32 rows, the groups that can
// hold a winner are scored once more in float64.
//
// Rows that a mask leaves out have a bias of -infinity. A query that leaves out its own row has at most one
// group whose maximum is none of its answers', so one group more than k tells the floor.
// What the scan rounds is bounded (kernels/margin.cuh), so the groups collected hold every winner and every
// tie; where they are more than a list takes, the query is left to ExactPass. Nothing is decided on the
// host, so nothing waits.
// Of rows that a linear map changes the high parts of the folded queries are scanned, with the scales and
// biases that their new lengths make; what is left is scored with both parts.
// Cost: 2 rows queries dim operations in the rows' own type, one read of the rows for their constants.
// Source: kernels/group_maxima.cuh.
#pragma once

#include <optional>
#include <string>

#include "cuda/search/group_lists.h"
#include "cuda/search/scan_operands.h"
#include "cuda/search/scan_pass.h"

namespace nearfield::cuda {

/// What scans need of every row beyond its elements, for rows that are searched more than once.
class RowConstants {
public:
    explicit RowConstants(const DeviceRows& rows);
    /// Of rows whose type the kernels name otherwise than suffix() does.
    RowConstants(const DeviceRows& rows, std::string type);

    /// Bytes they take.
    std::size_t bytes() const noexcept { return scratch_.bytes(); }

    /// Enqueues their computation, into memory aligned to 256 bytes.
    void compute(const StreamRef& stream, Metric metric, CUdeviceptr at) const;

    CUdeviceptr norms(CUdeviceptr at) const noexcept { return at + norms_; }
    /// 0 where a metric has none.
    CUdeviceptr scale(CUdeviceptr at, Metric metric) const noexcept {
        return metric == Metric::kCosine ? at + scale_ : 0;
    }
    CUdeviceptr bias(CUdeviceptr at, Metric metric) const noexcept {
        return metric == Metric::kL2 ? at + bias_ : 0;
    }
    CUdeviceptr limits(CUdeviceptr at) const noexcept { return at + limits_; }
    ScanRows scan_rows(CUdeviceptr at, Metric metric) const noexcept {
        return {rows_, scale(at, metric), bias(at, metric)};
    }

private:
    DeviceRows rows_;
    std::string type_;
    Scratch scratch_;
    std::size_t norms_ = 0, scale_ = 0, bias_ = 0, limits_ = 0;
};

class GroupPass final : public ScanPass {
public:
    /// For many more rows than are asked for.
    static bool suits(const SearchRequest& request) noexcept;

    GroupPass(const SearchRequest& request, Scratch& scratch, const QueryMaking& making = {});

    std::size_t tile() const noexcept override { return tile_; }
    void prepare_rows(const StreamRef& stream, CUdeviceptr scratch) const override;
    void map_queries(const StreamRef& stream, CUdeviceptr scratch) const override {
        queries_->map(stream, constants_.limits(constants_at(scratch)), scratch);
    }
    Found run(const StreamRef& stream, const QueryTile& queries,
              CUdeviceptr scratch) const override;

private:
    void prepare_mapped_rows(const StreamRef& stream, CUdeviceptr at) const;

    /// Of the rows as they are.
    CUdeviceptr stored_constants(CUdeviceptr at) const noexcept {
        return r_.constants != 0 ? r_.constants : at + own_constants_;
    }
    /// Of the rows as they are scanned: those of mapped rows belong to the search.
    CUdeviceptr constants_at(CUdeviceptr at) const noexcept {
        return making_.folded != nullptr ? at + own_constants_ : stored_constants(at);
    }
    /// -infinity for rows that may not answer.
    CUdeviceptr bias_at(CUdeviceptr at) const noexcept {
        return r_.mask != 0 ? at + masked_bias_ : constants_.bias(constants_at(at), r_.metric);
    }

    const SearchRequest& r_;
    QueryMaking making_;
    std::size_t tile_, wanted_ = 0;
    RowConstants constants_;
    std::size_t own_constants_ = 0, masked_bias_ = 0;
    std::optional<ScanQueries> queries_;
    std::optional<GroupLists> lists_;
};

}  // namespace nearfield::cuda
