#include "cuda/train/stable_sort.h"

#include <algorithm>
#include <bit>

#include "cuda/runtime/launch.h"
#include "cuda/train/transfer.h"

namespace nearfield::cuda {
namespace {

using u32 = std::uint32_t;

constexpr const char* kSource = "sort_pairs.cu";
constexpr unsigned kThreads = 256;
constexpr std::size_t kFewestEach = 2048;  // rows of a block
constexpr std::size_t kMostBlocks = 1024;
constexpr std::size_t kDigits = 256;
constexpr std::size_t kBitsAtOnce = 8;

}  // namespace

StableSort::StableSort(std::size_t count, std::size_t below, Scratch& scratch)
    : count_(count),
      below_(below),
      each_(round_up(std::max((count + kMostBlocks - 1) / kMostBlocks, kFewestEach), kThreads)),
      blocks_((count + each_ - 1) / each_),
      passes_(std::max<std::size_t>(
          (static_cast<std::size_t>(std::bit_width(below - 1)) + kBitsAtOnce - 1) / kBitsAtOnce,
          1)),
      last_((passes_ - 1) % 2),
      counts_(scratch.take(kDigits * blocks_ * sizeof(u32))),
      offsets_(scratch.take((below + 1) * sizeof(u32))) {
    for (std::size_t i = 0; i < 2; ++i) {
        numbers_[i] = scratch.take(count * sizeof(u32));
        order_[i] = scratch.take(count * sizeof(u32));
    }
}

void StableSort::run(const StreamRef& stream, CUdeviceptr numbers, CUdeviceptr at) const {
    const Grid grid{{static_cast<unsigned>(blocks_), 1, 1}, {kThreads, 1, 1}, 0};
    const auto count = static_cast<u32>(count_);
    const auto each = static_cast<u32>(each_);
    CUdeviceptr values = 0;  // row numbers in the first pass
    for (std::size_t pass = 0; pass < passes_; ++pass) {
        const auto shift = static_cast<u32>(pass * kBitsAtOnce);
        const std::size_t to = pass % 2;
        launch(stream, {kSource, "digit_counts"}, grid, numbers, count, each, shift, at + counts_);
        launch(stream, {kSource, "place_of_counts"}, {{1, 1, 1}, {kThreads, 1, 1}, 0}, at + counts_,
               static_cast<u32>(kDigits * blocks_));
        launch(stream, {kSource, "move_by_digit"}, grid, numbers, values, count, each, shift,
               at + counts_, at + numbers_[to], at + order_[to]);
        numbers = at + numbers_[to];
        values = at + order_[to];
    }
    launch(stream, {kSource, "offsets_of_numbers"},
           {{blocks_for(count_ + 1, kThreads), 1, 1}, {kThreads, 1, 1}, 0}, numbers, count,
           static_cast<u32>(below_), at + offsets_);
}

}  // namespace nearfield::cuda
