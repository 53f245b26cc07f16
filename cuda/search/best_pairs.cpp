#include "cuda/search/best_pairs.h"

#include <algorithm>

#include "cuda/runtime/launch.h"
#include "cuda/search/exact_pass.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr std::size_t kJoinedQueries = 1024;  // at a time
constexpr unsigned kThreads = 128;

}  // namespace

BestPairs::BestPairs(std::size_t queries, std::size_t k, Scratch& scratch)
    : queries_(queries), k_(k) {
    const std::size_t pairs = queries * k;
    keys_ = scratch.take(pairs * sizeof(double));
    rows_ = scratch.take(pairs * sizeof(u32));
    both_keys_ = scratch.take(2 * pairs * sizeof(double));
    both_rows_ = scratch.take(2 * pairs * sizeof(u32));
    const std::size_t together = std::min(queries, kJoinedQueries);
    select_keys_ = scratch.take(k <= kMostSharedKeys ? 0 : together * k * kKeyBytes);
}

void BestPairs::place(const StreamRef& stream, const QueryTile& q, const Pairs& pairs,
                      std::size_t found, std::size_t first, CUdeviceptr lengths,
                      CUdeviceptr scratch) const {
    place_at(stream, q, pairs, found, first, lengths, k_, scratch);
}

void BestPairs::join(const StreamRef& stream, bool begins, CUdeviceptr scratch) const {
    const Pairs before = begins ? Pairs{} : at(scratch);
    place_at(stream, {0, 0, queries_}, before, k_, 0, 0, 0, scratch);
    for (std::size_t first = 0; first < queries_; first += kJoinedQueries) {
        select(stream, first, std::min(kJoinedQueries, queries_ - first), scratch);
    }
}

void BestPairs::place_at(const StreamRef& stream, const QueryTile& q, const Pairs& pairs,
                         std::size_t found, std::size_t first_row, CUdeviceptr lengths,
                         std::size_t place, CUdeviceptr at) const {
    const std::size_t before = 2 * q.first * k_;
    launch(stream, {"join_pairs.cu", "place_pairs"},
           {{static_cast<unsigned>(q.count), 1, 1}, {kThreads, 1, 1}, 0}, pairs.keys, pairs.rows,
           static_cast<u32>(found), static_cast<u32>(first_row), lengths, static_cast<u32>(k_),
           static_cast<u32>(place), at + both_keys_ + before * sizeof(double),
           at + both_rows_ + before * sizeof(u32));
}

void BestPairs::select(const StreamRef& stream, std::size_t first, std::size_t count,
                       CUdeviceptr at) const {
    const bool is_shared = k_ <= kMostSharedKeys;
    const std::size_t pairs = first * k_, length = 2 * k_;
    const Grid grid{
        {static_cast<unsigned>(count), 1, 1}, {kThreads, 1, 1}, is_shared ? k_ * kKeyBytes : 0};
    launch(stream, {"select_k.cu", "select_k_radix_f64"}, grid,
           at + both_keys_ + 2 * pairs * sizeof(double), at + both_rows_ + 2 * pairs * sizeof(u32),
           u64{length}, CUdeviceptr{0}, static_cast<u32>(length), u32{0}, static_cast<u32>(k_),
           is_shared ? CUdeviceptr{0} : at + select_keys_, at + keys_ + pairs * sizeof(double),
           at + rows_ + pairs * sizeof(u32));
}

}  // namespace nearfield::cuda
