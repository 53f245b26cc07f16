#include "index/hnsw/list_probes.h"

#include <algorithm>
#include <numeric>

namespace nearfield {
namespace {

/// For each list probed, so many centres near the own one are looked at.
constexpr std::size_t kLookedAt = 8;

}  // namespace

ListProbes::Scratch::Scratch(const ListProbes& probes, std::size_t rows)
    : coded(probes.dim_, probes.rows_.by_distance()),
      search(coded, probes.dim_, rows, probes.probed_) {}

ListProbes::ListProbes(const ByteRows& rows, const Partition& lists, std::size_t probed)
    : rows_(rows),
      lists_(lists),
      dim_(lists.centres.size() / lists.lists()),
      probed_(probed),
      centres_(dim_, rows.by_distance()),
      all_(lists.lists()) {
    std::iota(all_.begin(), all_.end(), Id{0});
    centres_.resize(all_.size());
    for (const Id j : all_) centres_.set(j, lists.centres.data() + j * dim_);
}

void ListProbes::find_centres(Id own, std::size_t begin, std::size_t end, Scratch& scratch) const {
    nearest_lists(own, scratch.distances, scratch.centres);
    const std::size_t centres = scratch.centres.size();
    const std::size_t rows = end - begin;
    scratch.coded.resize(centres + rows);
    for (std::size_t j = 0; j < centres; ++j) {
        scratch.coded.set(j, centres_, scratch.centres[j].node);
    }
    for (std::size_t i = 0; i < rows; ++i) scratch.coded.set(centres + i, rows_, begin + i);
    scratch.slots.resize(rows);
    std::iota(scratch.slots.begin(), scratch.slots.end(), 0U);
    scratch.search.start(static_cast<Id>(centres));
    scratch.search.meet(scratch.slots, 0, centres);
}

void ListProbes::nearest_lists(Id own, std::vector<float>& distances,
                               std::vector<Near>& lists) const {
    const std::size_t k = all_.size();
    distances.resize(k);
    centres_.distances(own, all_.data(), k, distances.data());
    lists.resize(k);
    for (const Id j : all_) lists[j] = {distances[j], j};
    std::swap(lists[0], lists[own]);
    const auto taken =
        lists.begin() + static_cast<std::ptrdiff_t>(std::min(k, kLookedAt * probed_));
    if (taken != lists.end()) std::nth_element(lists.begin() + 1, taken - 1, lists.end());
    lists.erase(taken, lists.end());
    std::sort(lists.begin() + 1, lists.end());
}

}  // namespace nearfield
