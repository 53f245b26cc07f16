#include "cuda/search/row_passes.h"

#include "cuda/search/group_pass.h"
#include "cuda/search/threshold_pass.h"

namespace nearfield::cuda {
namespace {

std::unique_ptr<ScanPass> scan_for(const SearchRequest& r, Scratch& scratch) {
    if (ThresholdPass::suits(r)) return std::make_unique<ThresholdPass>(r, scratch);
    if (GroupPass::suits(r)) return std::make_unique<GroupPass>(r, scratch);
    return nullptr;
}

}  // namespace

RowPasses::RowPasses(const SearchRequest& request, Scratch& scratch)
    : scan_(scan_for(request, scratch)),
      tile_(scan_ ? scan_->tile() : request.queries.rows),
      exact_(request, tile_, scratch),
      k_(request.k),
      queries_(request.queries.rows) {}

}  // namespace nearfield::cuda
