#include "cuda/search/exact_lists.h"

#include <algorithm>
#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/search/exact_pass.h"
#include "cuda/search/group_pass.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr unsigned kThreads = 128;
constexpr std::size_t kGroupsOfSlice = 16;
constexpr unsigned kMostSlices = 64;

}  // namespace

void score_groups(const StreamRef& stream, const ListRequest& r, const QueryTile& q,
                  const ListedGroups& groups, const ScoredRows& out) {
    const DeviceRows& rows = r.listed.rows;
    const ScanForm form = scan_form(rows.dtype);
    const std::string name = std::string("rescore_lists_") + form.stored;
    const unsigned slices = std::min(blocks_of(groups.capacity, kGroupsOfSlice), kMostSlices);
    launch(stream, {"rescore.cu", name.c_str()},
           {{static_cast<unsigned>(q.count), slices, 1}, {kThreads, 1, 1}, 0}, q.queries,
           u64{rows.cols}, rows.address, u64{rows.stride}, static_cast<u32>(rows.cols),
           kernel_metric(r.row_metric()), RowConstants(rows, form.stored).norms(r.listed.constants),
           groups.probes, groups.places, static_cast<u32>(groups.nprobe), r.listed.offsets,
           groups.names, groups.groups, groups.counts, static_cast<u32>(groups.capacity), out.keys,
           out.names, out.counts);
}

void select_scored(const StreamRef& stream, const QueryTile& q, const ScoredRows& scored,
                   std::size_t found, CUdeviceptr keys, const Pairs& out) {
    launch(stream, {"select_k.cu", "select_k_radix_f64"},
           {{static_cast<unsigned>(q.count), 1, 1},
            {kThreads, 1, 1},
            keys != 0 ? 0 : found * kKeyBytes},
           scored.keys, scored.names, u64{scored.length}, scored.counts,
           static_cast<u32>(scored.length), u32{0}, static_cast<u32>(found), keys, out.keys,
           out.rows);
}

}  // namespace nearfield::cuda
