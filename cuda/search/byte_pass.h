// Exact search of float rows by bounds from bytes beside them: a scan of the bytes says what each row can
// score at most, the best groups say what a winner has at least, and groups that reach it are scored exactly.
//
// Groups with the k best bounds are scored in float64 first. The k-th best of those keys is a floor that no
// winner is below, so groups whose bound reaches it hold every winner and every tie, whatever the bytes lost;
// they are scored, and make the result. Where they are more than a list takes, nothing is proven and the
// query is left to ExactPass. Rows whose error is unbounded are always scored, and cost others nothing.
// Cost: 2 rows queries dim operations on bytes; k and some more groups, and twice k of them, in float64.
// Source: own; kernels/byte_bounds.cu; docs/decisions/0025-bytes-with-bounds.md.
#pragma once

#include <optional>

#include "cuda/search/byte_rows.h"
#include "cuda/search/group_lists.h"
#include "cuda/search/group_pass.h"

namespace nearfield::cuda {

class BytePass final : public ScanPass {
public:
    /// Where the request asks for it, has ByteRows and constants, and many more rows than are asked for.
    static bool suits(const SearchRequest& request) noexcept;

    BytePass(const SearchRequest& request, Scratch& scratch, const QueryMaking& making = {});

    std::size_t tile() const noexcept override { return tile_; }
    void prepare_rows(const StreamRef& stream, CUdeviceptr scratch) const override;
    void map_queries(const StreamRef& stream, CUdeviceptr scratch) const override;
    Found run(const StreamRef& stream, const QueryTile& queries,
              CUdeviceptr scratch) const override;

private:
    void prepare_queries(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void scan(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void find_floors(const StreamRef& stream, const QueryTile& q, const Pairs& found,
                     CUdeviceptr at) const;

    /// -infinity for rows that may not answer.
    CUdeviceptr bias_at(CUdeviceptr at) const noexcept {
        return r_.mask != 0 ? at + masked_bias_ : bytes_.bias(r_.bytes, r_.metric);
    }

    const SearchRequest& r_;
    const MappedQueries* mapped_;
    std::size_t wanted_, tile_;
    RowConstants constants_;
    ByteRows bytes_;
    SearchRequest coded_;  // r_ of the codes
    std::optional<ScanQueries> queries_;
    std::optional<GroupLists> lists_;
    std::size_t masked_bias_ = 0, reach_ = 0, lost_ = 0, floors_ = 0, no_margin_ = 0;
};

}  // namespace nearfield::cuda
