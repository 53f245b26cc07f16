#include "cuda/search/graph_pass.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/search/fallbacks.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr unsigned kThreads = 128;
/// Of a block that has a multiprocessor to itself: four warps alone would wait for most of their reads in turn.
constexpr unsigned kThreadsOfFew = 512;
/// Links that are looked at in one round, so that all warps have rows.
constexpr std::size_t kLinksOfRound = 64;
constexpr std::size_t kVisitedBytes = std::size_t{256} << 20;  // of tables at a time
constexpr std::size_t kMostSharedTable = 4096;
constexpr std::size_t kMostTile = 1 << 16;
/// Rows that are scored in the time in which a walk comes to one more node: that of the CPU.
constexpr double kRowsPerNode = 16.0;

std::size_t of_all(const GraphRequest& r, std::size_t n) noexcept {
    return (n * r.graph.rows + r.passing - 1) / r.passing;
}

std::size_t breadth_of(const GraphRequest& r) noexcept {
    return std::min(std::max(r.breadth, r.search.k), r.graph.rows);
}

std::size_t picks_of(const DeviceGraph& graph) noexcept {
    return std::max<std::size_t>(kLinksOfRound / graph.degree, 1);
}

std::size_t shared_bytes_of(const GraphRequest& r, std::size_t beam) noexcept {
    const std::size_t picks = picks_of(r.graph);
    return 16 * beam + 8 * (beam + picks * r.graph.degree) + 4 * (r.search.rows.cols + picks + 1);
}

/// As the CPU decides, see index/hnsw/hnsw_index.cpp.
bool scan_is_quicker(const GraphRequest& r, std::size_t breadth) noexcept {
    constexpr std::size_t kShareOfMargin = 8;
    const bool has_margin = std::isfinite(r.margin);
    const std::size_t nodes = has_margin ? std::max(r.search.k, breadth / kShareOfMargin) : breadth;
    const auto rows = static_cast<double>(r.passing);
    const auto all = static_cast<double>(r.graph.rows);
    return kRowsPerNode * static_cast<double>(nodes) * all > rows * rows;
}

/// Of a walk's block. The order of threads changes nothing in a walk, so neither does their number.
unsigned threads_of(const StreamRef& stream, std::size_t queries) {
    const auto there = static_cast<std::size_t>(std::max(stream.device->multiprocessors(), 1));
    return queries <= there ? kThreadsOfFew : kThreads;
}

unsigned blocks_of(std::size_t count) {
    return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}

/// Where the constants of `rows` rows lie.
struct Constants {
    CUdeviceptr norms = 0, scale = 0, limits = 0;

    Constants(CUdeviceptr at, std::size_t rows)
        : norms(at),
          scale(at + round_up(rows * sizeof(double), 256)),
          limits(scale + round_up(rows * sizeof(float), 256)) {}
};

}  // namespace

std::size_t graph_constants_bytes(std::size_t rows) {
    return static_cast<std::size_t>(Constants(0, rows).limits) + 256;
}

void compute_graph_constants(const StreamRef& stream, const DeviceRows& rows, CUdeviceptr at) {
    if (rows.rows == 0) return;
    const Constants to(at, rows.rows);
    {
        const OnDevice here(*stream.device);
        check(driver().cuMemsetD8Async(to.limits, 0, 2 * sizeof(float), stream.handle),
              "clear what is found of rows");
    }
    const std::string name = std::string("row_constants_") + suffix(rows.dtype);
    constexpr std::size_t kRowsOfBlock = kThreads / 32;
    launch(stream, {"row_constants.cu", name.c_str()},
           {{static_cast<unsigned>((rows.rows + kRowsOfBlock - 1) / kRowsOfBlock), 1, 1},
            {kThreads, 1, 1},
            0},
           rows.address, u64{rows.stride}, static_cast<u32>(rows.rows), static_cast<u32>(rows.cols),
           kernel_metric(Metric::kCosine), to.norms, to.scale, CUdeviceptr{0}, to.limits);
}

bool GraphPass::suits(const GraphRequest& r, std::size_t shared_bytes) noexcept {
    if (r.passing == 0 || r.search.k >= r.passing || r.search.queries.rows == 0) return false;
    const std::size_t breadth = breadth_of(r);
    if (breadth >= r.passing || scan_is_quicker(r, breadth)) return false;
    const std::size_t table = sizeof(u32) * kMostSharedTable;
    return shared_bytes_of(r, of_all(r, breadth)) + table <= shared_bytes;
}

GraphPass::GraphPass(const GraphRequest& request, Scratch& scratch)
    : r_(request), beam_(of_all(r_, breadth_of(r_))), picks_(picks_of(r_.graph)) {
    // Walks follow few nodes more than they keep; those that would follow twice as many end.
    rounds_ = (2 * beam_ + kLinksOfRound) / picks_;
    const std::size_t seen = 1 + rounds_ * picks_ * r_.graph.degree;
    table_ = std::bit_ceil(2 * std::min(seen, r_.graph.rows));
    const bool is_shared = table_ <= kMostSharedTable;
    const std::size_t fitting =
        is_shared ? kMostTile : std::max<std::size_t>(kVisitedBytes / (sizeof(u32) * table_), 1);
    tile_ = std::min({fitting, r_.search.queries.rows, kMostTile});
    const std::size_t k = r_.search.k;
    entries_ = scratch.take(tile_ * sizeof(u32));
    if (!is_shared) visited_ = scratch.take(tile_ * table_ * sizeof(u32));
    keys_ = scratch.take(tile_ * k * sizeof(double));
    rows_ = scratch.take(tile_ * k * sizeof(u32));
    lengths_ = scratch.take(tile_ * sizeof(u32));
    exact_.emplace(r_.search, tile_, scratch);
}

void GraphPass::descend(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const DeviceGraph& graph = r_.graph;
    const DeviceRows& rows = r_.search.rows;
    const Constants constants(graph.constants, graph.rows);
    const std::string name = std::string("graph_descend_") + suffix(rows.dtype);
    launch(stream, {"graph_descend.cu", name.c_str()},
           {{static_cast<unsigned>(q.count), 1, 1}, {kThreads, 1, 1}, rows.cols * sizeof(float)},
           q.queries, u64{rows.cols}, rows.address, u64{rows.stride}, static_cast<u32>(graph.rows),
           static_cast<u32>(rows.cols), kernel_metric(r_.search.metric), graph.unit,
           constants.scale, graph.node_rows, graph.below, graph.upper_links, graph.starts,
           static_cast<u32>(graph.upper), static_cast<u32>(graph.width), at + entries_);
}

void GraphPass::walk(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const {
    const DeviceGraph& graph = r_.graph;
    const DeviceRows& rows = r_.search.rows;
    const Constants constants(graph.constants, graph.rows);
    const bool is_shared = table_ <= kMostSharedTable;
    const std::size_t shared = shared_bytes_of(r_, beam_) + (is_shared ? table_ * sizeof(u32) : 0);
    const bool has_margin = std::isfinite(r_.margin) && std::isfinite(graph.length);
    const auto horizon = static_cast<u32>(has_margin ? of_all(r_, r_.search.k) : 0);
    const double share = 1.0 + (has_margin ? r_.margin : 0.0);
    const std::string name = std::string("graph_search_") + suffix(rows.dtype);
    launch(stream, {"graph_search.cu", name.c_str()},
           {{static_cast<unsigned>(q.count), 1, 1}, {threads_of(stream, q.count), 1, 1}, shared},
           q.queries, u64{rows.cols}, rows.address, u64{rows.stride}, static_cast<u32>(graph.rows),
           static_cast<u32>(rows.cols), kernel_metric(r_.search.metric), graph.unit,
           constants.scale, constants.norms, graph.links, static_cast<u32>(graph.degree),
           at + entries_, u32{1}, static_cast<u32>(beam_), static_cast<u32>(picks_),
           static_cast<u32>(rounds_), horizon, static_cast<float>(share * share), graph.length,
           static_cast<u32>(rows.rows), r_.search.mask, static_cast<u32>(beam_),
           static_cast<u32>(r_.search.k), is_shared ? CUdeviceptr{0} : at + visited_,
           static_cast<u32>(table_), at + keys_, at + rows_);
}

/// Hands on what walks kept, and what all rows give to queries whose walks found too few.
void GraphPass::complete(const StreamRef& stream, const QueryTile& q, CUdeviceptr at,
                         const TakePairs& take) const {
    const std::size_t k = r_.search.k;
    take(q, {at + keys_, at + rows_}, k, 0);
    launch(stream, {"graph_search.cu", "find_short_answers"},
           {{blocks_of(q.count), 1, 1}, {kThreads, 1, 1}, 0}, at + keys_, static_cast<u32>(k),
           static_cast<u32>(std::min(k, r_.passing)), static_cast<u32>(q.count),
           static_cast<u32>(r_.search.rows.rows), at + lengths_);
    count_fallbacks(stream, at + lengths_, q.count);
    const std::size_t bytes = r_.search.rows.cols * sizeof(float);
    for (std::size_t i = 0; i < q.count; i += exact_->tile()) {
        const QueryTile part{q.queries + i * bytes, q.first + i,
                             std::min(exact_->tile(), q.count - i)};
        const CUdeviceptr lengths = at + lengths_ + i * sizeof(u32);
        take(part, exact_->find(stream, part, at, lengths), exact_->found(), lengths);
    }
}

void GraphPass::run(const StreamRef& stream, const QueryTile& q, CUdeviceptr at,
                    const TakePairs& take) const {
    descend(stream, q, at);
    walk(stream, q, at);
    complete(stream, q, at, take);
}

}  // namespace nearfield::cuda
