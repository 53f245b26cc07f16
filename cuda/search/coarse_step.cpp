#include "cuda/search/coarse_step.h"

#include <cmath>
#include <limits>

#include "cuda/runtime/launch.h"
#include "cuda/search/list_search.h"
#include "cuda/search/topk.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "choose_lists.cu";
constexpr unsigned kThreads = 128;

}  // namespace

SearchRequest nearest_centroids(const ListedRows& listed, Metric metric, const QueryTile& queries,
                                std::size_t count) noexcept {
    const std::size_t dim = listed.centroids.cols;
    const DeviceRows plain{queries.queries, queries.count, dim, dim, DType::kF32};
    return {plain, listed.centroids, metric, count, 0, 0, listed.centroid_constants, false};
}

CoarseStep::CoarseStep(const ListRequest& request, std::size_t most_queries, Scratch& scratch)
    : r_(request) {
    const std::size_t probes = most_queries * r_.nprobe;
    probes_ = scratch.take(probes * sizeof(u32));
    if (r_.is_exhaustive()) return;
    ids_ = scratch.take(probes * sizeof(std::int64_t));
    scores_ = scratch.take(probes * sizeof(float));
    counts_ = scratch.take(most_queries * sizeof(std::int64_t));
    of_search_ =
        scratch.take(r_.groups != 0 ? list_scratch_bytes(among_groups({0, 0, most_queries}))
                                    : scratch_bytes(nearest({0, 0, most_queries})));
    if (std::isfinite(r_.margin)) far_ = scratch.take(probes * sizeof(double));
}

std::size_t CoarseStep::bytes_of_query(const ListRequest& r) noexcept {
    return r.nprobe * (sizeof(u32) + sizeof(std::int64_t) + sizeof(float) + sizeof(double));
}

CUdeviceptr CoarseStep::run(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const bool all = r_.is_exhaustive();
    const std::size_t probes = q.count * r_.nprobe;
    if (!all) search(stream, q, at);
    launch(stream, {kSource, "name_probes"},
           {{blocks_of(probes, kThreads), 1, 1}, {kThreads, 1, 1}, 0},
           all ? CUdeviceptr{0} : at + ids_, u64{probes}, static_cast<u32>(r_.listed.sizes.lists()),
           at + probes_);
    if (std::isfinite(r_.margin)) leave_out_far(stream, q, at);
    return at + probes_;
}

SearchRequest CoarseStep::nearest(const QueryTile& q) const noexcept {
    return nearest_centroids(r_.listed, r_.metric, q, r_.nprobe);
}

ListRequest CoarseStep::among_groups(const QueryTile& q) const noexcept {
    const DeviceRows plain = nearest(q).queries;
    constexpr double kNoMargin = std::numeric_limits<double>::infinity();
    return {plain, *r_.listed.grouped, r_.metric, r_.nprobe, r_.groups, kNoMargin, 0, 0, 0};
}

void CoarseStep::search(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const SearchOut found{at + ids_, at + scores_, at + counts_};
    if (r_.groups != 0) {
        return search_lists(stream, among_groups(q), found, at + of_search_);
    }
    topk(stream, nearest(q), found, at + of_search_);
}

void CoarseStep::leave_out_far(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const DeviceRows& centroids = r_.listed.centroids;
    launch(stream, {kSource, "leave_out_far"},
           {{static_cast<unsigned>(q.count), 1, 1}, {kThreads, 1, 1}, 0}, q.queries,
           static_cast<u32>(centroids.cols), centroids.address, u64{centroids.stride},
           static_cast<u32>(centroids.rows), kernel_metric(r_.metric), r_.margin, at + probes_,
           static_cast<u32>(r_.nprobe), at + far_);
}

}  // namespace nearfield::cuda
