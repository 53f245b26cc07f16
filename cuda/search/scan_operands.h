// What scans on tensor cores have in common: queries as they are multiplied, rows with their constants, and
// the launch of a scan by groups.
#pragma once

#include <algorithm>

#include "cuda/runtime/launch.h"
#include "cuda/runtime/stream.h"
#include "cuda/search/folded_queries.h"
#include "cuda/search/mapped_queries.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

inline constexpr unsigned kScanThreads = 128;  // of the kernels before and after a scan

/// Rows that are scanned; scale and bias are 0 where the metric has none.
struct ScanRows {
    DeviceRows rows;
    CUdeviceptr scale = 0;
    CUdeviceptr bias = 0;
};

/// How a search's queries come to be: as they lie, where both are null.
struct QueryMaking {
    const MappedQueries* mapped = nullptr;  // they are mapped first
    const FoldedQueries* folded = nullptr;  // they are folded, and that is what is multiplied

    /// A map and the preparation for a scan are one launch.
    bool is_fused() const noexcept { return mapped != nullptr && folded == nullptr; }
};

/// Queries in the rows' type, and the margins of their scores, in scratch memory: of a tile, or of all where
/// they are mapped and prepared at once.
class ScanQueries {
public:
    /// zero_point: what is taken from rows of bytes to have what they mean.
    ScanQueries(const SearchRequest& request, std::size_t most_queries, Scratch& scratch,
                const QueryMaking& making = {}, std::int32_t zero_point = 0);

    /// limits: of the rows, by RowConstants.
    void prepare(const StreamRef& stream, const QueryTile& q, CUdeviceptr limits,
                 CUdeviceptr at) const;

    /// Enqueues the map of all queries with their preparation, where that is one launch.
    void map(const StreamRef& stream, CUdeviceptr limits, CUdeviceptr at) const;

    CUdeviceptr prepared(const QueryTile& q, CUdeviceptr at) const noexcept {
        return at + prepared_ + place(q) * stride_ * size_of(r_.rows.dtype);
    }
    std::size_t stride() const noexcept { return stride_; }  // elements
    CUdeviceptr unit(const QueryTile& q, CUdeviceptr at) const noexcept {
        return at + unit_ + place(q) * sizeof(float);
    }
    CUdeviceptr margin(const QueryTile& q, CUdeviceptr at) const noexcept {
        return at + margin_ + place(q) * sizeof(float);
    }
    CUdeviceptr norms(const QueryTile& q, CUdeviceptr at) const noexcept {
        return at + norms_ + place(q) * sizeof(double);
    }
    /// Of rows of bytes: minus zero_point times the sum of a query's codes.
    CUdeviceptr init(const QueryTile& q, CUdeviceptr at) const noexcept {
        return at + init_ + place(q) * sizeof(std::int32_t);
    }

private:
    std::size_t place(const QueryTile& q) const noexcept {
        return making_.is_fused() ? q.first : 0;
    }

    const SearchRequest& r_;
    QueryMaking making_;
    std::int32_t zero_point_;
    std::size_t stride_, prepared_, unit_, margin_, norms_, init_;
};

/// Queries and rows of a tile of group_maxima, and the end of the kernel's name.
struct MaximaShape {
    std::size_t queries;
    std::size_t rows;
    const char* name;

    Grid grid(std::size_t queries_scanned, std::size_t rows_scanned) const noexcept;
};
MaximaShape maxima_shape(DType dtype, std::size_t queries) noexcept;

/// Enqueues a bias of -infinity for rows that the request's mask leaves out, of `bias` (0: none) for others.
void mask_bias(const StreamRef& stream, const SearchRequest& request, CUdeviceptr bias,
               CUdeviceptr out);

/// Enqueues group_maxima of a tile: groups_of(rows) a query, side by side.
void scan_groups(const StreamRef& stream, const ScanQueries& queries, const QueryTile& q,
                 const ScanRows& rows, CUdeviceptr maxima, CUdeviceptr at);

constexpr std::size_t groups_of(std::size_t rows) noexcept {
    return (rows + kGroupRows - 1) / kGroupRows;
}

}  // namespace nearfield::cuda
