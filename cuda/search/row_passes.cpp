#include "cuda/search/row_passes.h"

#include "cuda/search/byte_pass.h"
#include "cuda/search/group_pass.h"
#include "cuda/search/threshold_pass.h"

namespace nearfield::cuda {
namespace {

std::unique_ptr<FoldedQueries> folded_for(const SearchRequest& r, Scratch& scratch) {
    return r.fold ? std::make_unique<FoldedQueries>(r, scratch) : nullptr;
}

std::unique_ptr<ScanPass> scan_for(const SearchRequest& r, Scratch& scratch,
                                   const FoldedQueries* folded) {
    if (BytePass::suits(r)) return std::make_unique<BytePass>(r, scratch);
    if (ThresholdPass::suits(r)) return std::make_unique<ThresholdPass>(r, scratch);
    if (GroupPass::suits(r)) return std::make_unique<GroupPass>(r, scratch, folded);
    return nullptr;
}

}  // namespace

RowPasses::RowPasses(const SearchRequest& request, Scratch& scratch)
    : folded_(folded_for(request, scratch)),
      scan_(scan_for(request, scratch, folded_.get())),
      tile_(scan_ ? scan_->tile() : request.queries.rows),
      exact_(request, tile_, scratch, folded_.get()),
      k_(request.k),
      queries_(request.queries.rows) {}

}  // namespace nearfield::cuda
