// Probes: which lists each query of a batch looks into; and the same seen from the lists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"

namespace nearfield {

/// In the place of a list that is not looked into.
inline constexpr Id kNoList = UINT32_MAX;

/// Lists to look into: row-major queries x nprobe, nearest list first.
struct Probes {
    std::span<const Id> lists;
    std::size_t nprobe;

    std::span<const Id> of(std::size_t query) const noexcept {
        return lists.subspan(query * nprobe, nprobe);
    }
};

/// Some probes of some queries: every shares-th from first_probe + share on, below last_probe.
struct ProbeSet {
    const Probes& probes;
    std::size_t first_query;
    std::size_t queries;
    std::size_t first_probe;
    std::size_t last_probe;
    std::size_t share;
    std::size_t shares;

    /// visit(list, query), queries counted from first_query.
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (std::size_t i = 0; i < queries; ++i) {
            const std::span<const Id> lists = probes.of(first_query + i);
            for (std::size_t p = first_probe + share; p < last_probe; p += shares) {
                if (lists[p] != kNoList) visit(lists[p], static_cast<std::uint32_t>(i));
            }
        }
    }
};

/// visit(list, queries that probe it) for each list of the set, in ascending order; for one query in its
/// own order.
template <class Visit>
void for_each_list(const ProbeSet& set, std::size_t nlist, Visit&& visit) {
    if (set.queries == 1) {
        set.for_each([&](Id list, std::uint32_t query) {
            visit(std::size_t{list}, std::span<const std::uint32_t>(&query, 1));
        });
        return;
    }
    std::vector<std::uint32_t> ends(nlist + 1, 0);
    set.for_each([&](Id list, std::uint32_t) { ++ends[list + 1]; });
    for (std::size_t list = 0; list < nlist; ++list) ends[list + 1] += ends[list];
    std::vector<std::uint32_t> members(ends.back());
    set.for_each([&](Id list, std::uint32_t query) { members[ends[list]++] = query; });
    for (std::size_t list = 0, begin = 0; list < nlist; begin = ends[list++]) {
        if (begin == ends[list]) continue;
        visit(list, std::span<const std::uint32_t>(members.data() + begin, ends[list] - begin));
    }
}

}  // namespace nearfield
