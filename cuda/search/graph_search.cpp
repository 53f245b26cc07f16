#include "cuda/search/graph_search.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "cuda/runtime/launch.h"
#include "cuda/search/topk.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

void check_sizes(const GraphRequest& r) {
    constexpr std::size_t kMostRows = std::numeric_limits<std::int32_t>::max();
    if (r.graph.rows > kMostRows || r.search.rows.rows > r.graph.rows) {
        throw std::invalid_argument("a graph on a device has at most 2**31 - 1 rows");
    }
    if (r.search.queries.cols != r.search.rows.cols || r.search.k == 0) {
        throw std::invalid_argument("queries: expected the columns of the rows, and k > 0");
    }
}

/// A walk and where it works.
struct Search {
    const GraphRequest& r;
    Scratch scratch;
    bool widens;
    std::size_t widened;
    GraphPass pass;

    explicit Search(const GraphRequest& request)
        : r(request),
          widens(r.search.queries.dtype != DType::kF32 ||
                 r.search.queries.stride != r.search.queries.cols),
          widened(scratch.take(
              widens ? r.search.queries.rows * r.search.queries.cols * sizeof(float) : 0)),
          pass(r, scratch) {}

    void widen(const StreamRef& stream, CUdeviceptr to) const {
        constexpr std::size_t kMostBlocks = 1 << 16;
        const DeviceRows& q = r.search.queries;
        const std::string name = std::string("widen_") + suffix(q.dtype);
        const auto blocks = static_cast<unsigned>(std::min(q.rows, kMostBlocks));
        launch(stream, {"exact.cu", name.c_str()}, {{blocks, 1, 1}, {128, 1, 1}, 0}, q.address,
               u64{q.stride}, static_cast<u32>(q.rows), static_cast<u32>(q.cols), to);
    }

    void run(const StreamRef& stream, const SearchOut& out, CUdeviceptr at) const {
        const DeviceRows& q = r.search.queries;
        const CUdeviceptr queries = widens ? at + widened : q.address;
        if (widens) widen(stream, queries);
        for (std::size_t first = 0; first < q.rows; first += pass.tile()) {
            pass.run(stream, out,
                     {queries + first * q.cols * sizeof(float), first,
                      std::min(pass.tile(), q.rows - first)},
                     at);
        }
    }
};

}  // namespace

std::size_t graph_scratch_bytes(const Device& device, const GraphRequest& request) {
    check_sizes(request);
    if (!GraphPass::suits(request, device.shared_bytes())) return scratch_bytes(request.search);
    return Search(request).scratch.bytes();
}

void search_graph(const StreamRef& stream, const GraphRequest& request, const SearchOut& out,
                  CUdeviceptr scratch) {
    check_sizes(request);
    if (!GraphPass::suits(request, stream.device->shared_bytes())) {
        return topk(stream, request.search, out, scratch);
    }
    Search(request).run(stream, out, scratch);
}

void order_mask(const StreamRef& stream, CUdeviceptr mask, CUdeviceptr order, std::size_t count,
                CUdeviceptr out) {
    constexpr std::size_t kThreads = 128;
    if (count == 0) return;
    launch(stream, {"graph_descend.cu", "ordered_mask"},
           {{static_cast<unsigned>((count + kThreads - 1) / kThreads), 1, 1}, {kThreads, 1, 1}, 0},
           mask, order, static_cast<u32>(count), out);
}

}  // namespace nearfield::cuda
