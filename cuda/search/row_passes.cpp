#include "cuda/search/row_passes.h"

#include "cuda/search/byte_pass.h"
#include "cuda/search/group_pass.h"
#include "cuda/search/scan_operands.h"
#include "cuda/search/threshold_pass.h"

namespace nearfield::cuda {
namespace {

std::unique_ptr<FoldedQueries> folded_for(const SearchRequest& r, Scratch& scratch) {
    return r.fold ? std::make_unique<FoldedQueries>(r, scratch) : nullptr;
}

std::unique_ptr<ScanPass> scan_for(const SearchRequest& r, Scratch& scratch,
                                   const QueryMaking& making) {
    if (BytePass::suits(r)) return std::make_unique<BytePass>(r, scratch, making);
    if (ThresholdPass::suits(r)) return std::make_unique<ThresholdPass>(r, scratch, making);
    if (GroupPass::suits(r)) return std::make_unique<GroupPass>(r, scratch, making);
    return nullptr;
}

}  // namespace

RowPasses::RowPasses(const SearchRequest& request, Scratch& scratch, const MappedQueries* mapped)
    : mapped_(mapped),
      folded_(folded_for(request, scratch)),
      scan_(scan_for(request, scratch, {mapped_, folded_.get()})),
      tile_(scan_ ? scan_->tile() : request.queries.rows),
      exact_(request, tile_, scratch, folded_.get()),
      k_(request.k),
      queries_(request.queries.rows) {}

/// With what a scan reads in the same launch, where it reads them as they then are.
void RowPasses::map(const StreamRef& stream, CUdeviceptr at) const {
    if (scan_ && QueryMaking{mapped_, folded_.get()}.is_fused()) {
        scan_->map_queries(stream, at);
    } else {
        mapped_->make(stream, at);
    }
}

}  // namespace nearfield::cuda
