#include "index/hnsw/graph.h"

#include "base/random.h"

namespace nearfield {
namespace {

constexpr std::uint64_t kStream = 0x7269736573;  // apart from other users of the same seed

}  // namespace

std::size_t Graph::bytes() const noexcept {
    std::size_t sum = codes.bytes();
    for (const Level& level : levels) {
        sum += level.nodes.bytes() + level.below.bytes() + level.links.bytes();
    }
    return sum;
}

bool rises(const GraphSpec& spec, std::size_t level, std::uint64_t number) noexcept {
    std::uint64_t state = spec.seed ^ kStream;
    state = splitmix64(state) ^ level;
    state = splitmix64(state) ^ number;
    return splitmix64(state) < UINT64_MAX / spec.m;
}

}  // namespace nearfield
