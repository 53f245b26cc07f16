// What scans on tensor cores have in common: queries as they are multiplied, rows with their constants, and
// the launch of a scan by groups.
#pragma once

#include <algorithm>

#include "cuda/runtime/launch.h"
#include "cuda/runtime/stream.h"
#include "cuda/search/folded_queries.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

inline constexpr unsigned kScanThreads = 128;  // of the kernels before and after a scan

/// Rows that are scanned; scale and bias are 0 where the metric has none.
struct ScanRows {
    DeviceRows rows;
    CUdeviceptr scale = 0;
    CUdeviceptr bias = 0;
};

/// Queries of a tile in the rows' type, and the margins of their scores, in scratch memory.
class ScanQueries {
public:
    /// zero_point: what is taken from rows of bytes to have what they mean. folded: of a request with a map; they are
    /// what is multiplied.
    ScanQueries(const SearchRequest& request, std::size_t most_queries, Scratch& scratch,
                std::int32_t zero_point = 0, const FoldedQueries* folded = nullptr);

    /// limits: of the rows, by RowConstants.
    void prepare(const StreamRef& stream, const QueryTile& q, CUdeviceptr limits,
                 CUdeviceptr at) const;

    CUdeviceptr prepared(CUdeviceptr at) const noexcept { return at + prepared_; }
    std::size_t stride() const noexcept { return stride_; }  // elements
    CUdeviceptr unit(CUdeviceptr at) const noexcept { return at + unit_; }
    CUdeviceptr margin(CUdeviceptr at) const noexcept { return at + margin_; }
    CUdeviceptr norms(CUdeviceptr at) const noexcept { return at + norms_; }
    /// Of rows of bytes: minus zero_point times the sum of a query's codes.
    CUdeviceptr init(CUdeviceptr at) const noexcept { return at + init_; }

private:
    const SearchRequest& r_;
    std::int32_t zero_point_;
    const FoldedQueries* folded_;
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

/// Enqueues group_maxima of `count` queries: groups_of(rows) a query, side by side.
void scan_groups(const StreamRef& stream, const ScanQueries& queries, std::size_t count,
                 const ScanRows& rows, CUdeviceptr maxima, CUdeviceptr at);

constexpr std::size_t groups_of(std::size_t rows) noexcept {
    return (rows + kGroupRows - 1) / kGroupRows;
}

}  // namespace nearfield::cuda
