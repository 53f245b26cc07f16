#include "cuda/search/ranked.h"

#include <algorithm>

#include "cuda/runtime/launch.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr const char* kSource = "merge_ranked.cu";
constexpr unsigned kThreads = 128;
constexpr std::size_t kMostBlocksOfQuery = 1 << 10;

}  // namespace

void keep_keys(const StreamRef& stream, CUdeviceptr out, const QueryTile& queries, std::size_t k,
               const Pairs& pairs, std::size_t found, CUdeviceptr lengths) {
    launch(stream, {kSource, "keep_keys_f64"},
           {{static_cast<unsigned>(queries.count), 1, 1}, {kThreads, 1, 1}, 0}, pairs.keys,
           static_cast<u32>(found), lengths, static_cast<u32>(k),
           out + queries.first * k * sizeof(double));
}

void merge_ranked(const StreamRef& stream, const RankedLists& layout, std::size_t parts,
                  CUdeviceptr lists, const SearchOut& out) {
    if (layout.queries() == 0) return;
    const std::size_t wanted = (parts * layout.k() + kThreads - 1) / kThreads;
    const auto blocks = static_cast<unsigned>(std::min(wanted, kMostBlocksOfQuery));
    launch(stream, {kSource, "merge_ranked"},
           {{static_cast<unsigned>(layout.queries()), blocks, 1}, {kThreads, 1, 1}, 0}, lists,
           u64{layout.bytes()}, static_cast<u32>(parts), static_cast<u32>(layout.queries()),
           static_cast<u32>(layout.k()), out.ids, out.scores, out.counts);
}

void pick_bytes(const StreamRef& stream, CUdeviceptr from, CUdeviceptr order, std::size_t n,
                CUdeviceptr to) {
    if (n == 0) return;
    constexpr std::size_t kMostBlocks = 1 << 16;
    const auto blocks = static_cast<unsigned>(std::min((n + kThreads - 1) / kThreads, kMostBlocks));
    launch(stream, {kSource, "pick_bytes"}, {{blocks, 1, 1}, {kThreads, 1, 1}, 0}, from, order,
           u64{n}, to);
}

}  // namespace nearfield::cuda
