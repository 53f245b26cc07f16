#include "cuda/search/row_mask.h"

#include "cuda/runtime/launch.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;

constexpr const char* kSource = "choose_lists.cu";
constexpr unsigned kThreads = 128;

}  // namespace

RowMask::RowMask(const ListRequest& request, Scratch& scratch) : r_(request) {
    if (r_.mask == 0) return;
    const std::size_t rows = r_.listed.rows.rows;
    names_ = scratch.take(rows * sizeof(u32));
    bias_ = scratch.take(rows * sizeof(float));
    allowed_ = scratch.take((r_.listed.sizes.lists() + 1) * sizeof(u32));
}

Answering RowMask::apply(const StreamRef& stream, CUdeviceptr bias, CUdeviceptr at) const {
    if (r_.mask == 0) return {r_.listed.names, bias, 0};
    const auto rows = static_cast<u32>(r_.listed.rows.rows);
    const auto lists = static_cast<u32>(r_.listed.sizes.lists() + 1);
    launch(stream, {kSource, "mask_rows"}, {{blocks_of(rows, kThreads), 1, 1}, {kThreads, 1, 1}, 0},
           r_.listed.names, r_.listed.order, r_.mask, bias, rows, at + names_, at + bias_);
    launch(stream, {kSource, "count_allowed"},
           {{blocks_of(lists, kThreads / 32), 1, 1}, {kThreads, 1, 1}, 0}, r_.listed.all_order(),
           r_.mask, r_.listed.all_offsets(), lists, at + allowed_);
    return {at + names_, at + bias_, at + allowed_};
}

}  // namespace nearfield::cuda
