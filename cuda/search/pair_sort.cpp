#include "cuda/search/pair_sort.h"

#include <algorithm>

#include "cuda/runtime/launch.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;

constexpr const char* kSource = "sort_pairs.cu";
constexpr unsigned kThreads = 256;
constexpr std::size_t kDigits = 256;
constexpr unsigned kBitsOfDigit = 8;
constexpr std::size_t kMostBlocks = 256;  // one block adds up the counts of all

/// Numbers that a block takes, a multiple of its threads.
std::size_t share_of(std::size_t count) {
    return round_up(std::max<std::size_t>(blocks_of(count, kMostBlocks), 1), kThreads);
}

}  // namespace

PairSort::PairSort(std::size_t most, std::size_t below, Scratch& scratch)
    : below_(below),
      counts_(scratch.take(kDigits * kMostBlocks * sizeof(u32))),
      offsets_(scratch.take((below + 1) * sizeof(u32))) {
    for (std::size_t& numbers : numbers_) numbers = scratch.take(most * sizeof(u32));
    for (std::size_t& positions : positions_) positions = scratch.take(most * sizeof(u32));
}

PairSort::Sorted PairSort::run(const StreamRef& stream, CUdeviceptr numbers, std::size_t count,
                               CUdeviceptr at) const {
    const auto n = static_cast<u32>(count), each = static_cast<u32>(share_of(count));
    const unsigned blocks = blocks_of(count, each);
    const Grid grid{{blocks, 1, 1}, {kThreads, 1, 1}, 0};
    CUdeviceptr positions = 0;
    std::size_t to = 0;
    for (u32 shift = 0; shift == 0 || (below_ - 1) >> shift != 0; shift += kBitsOfDigit) {
        launch(stream, {kSource, "digit_counts"}, grid, numbers, n, each, shift, at + counts_);
        launch(stream, {kSource, "place_of_counts"}, {{1, 1, 1}, {kThreads, 1, 1}, 0}, at + counts_,
               static_cast<u32>(kDigits * blocks));
        launch(stream, {kSource, "move_by_digit"}, grid, numbers, positions, n, each, shift,
               at + counts_, at + numbers_[to], at + positions_[to]);
        numbers = at + numbers_[to];
        positions = at + positions_[to];
        to = 1 - to;
    }
    launch(stream, {kSource, "offsets_of_numbers"},
           {{blocks_of(count + 1, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, numbers, n,
           static_cast<u32>(below_), at + offsets_);
    return {positions, at + offsets_};
}

}  // namespace nearfield::cuda
