#include "index/hnsw/back_links.h"

#include <algorithm>
#include <atomic>
#include <numeric>

#include "base/parallel.h"

namespace nearfield {
namespace {

/// Who chose each node, group by group.
struct Offers {
    std::vector<std::size_t> begin;
    std::vector<Near> links;
};

Offers offers_of(const Neighbours& chosen, int threads) {
    const std::size_t n = chosen.nodes();
    std::vector<std::atomic<std::uint32_t>> count(n);
    parallel_for(n, threads, [&](std::size_t u, int) {
        for (const Near& v : chosen.of(u)) count[v.node].fetch_add(1, std::memory_order_relaxed);
    });
    Offers offers;
    offers.begin.resize(n + 1);
    for (std::size_t v = 0; v < n; ++v) offers.begin[v + 1] = offers.begin[v] + count[v].load();
    offers.links.resize(offers.begin[n]);
    // In no fixed order within a group; they are sorted before they are used.
    parallel_for(n, threads, [&](std::size_t u, int) {
        for (const Near& v : chosen.of(u)) {
            const std::uint32_t left = count[v.node].fetch_sub(1, std::memory_order_relaxed);
            offers.links[offers.begin[v.node] + left - 1] = {v.distance, static_cast<Id>(u)};
        }
    });
    return offers;
}

}  // namespace

void link_back(const Neighbours& chosen, const ByteRows& rows, float slack, Links& out,
               int threads) {
    const Offers offers = offers_of(chosen, threads);
    struct Scratch {
        LinkChooser chooser;
        std::vector<Near> all;
        std::vector<Id> ids;
    };
    std::vector<Scratch> scratch;
    for (int w = 0; w < max_workers(threads); ++w) scratch.push_back({{rows, slack}, {}, {}});
    parallel_for(chosen.nodes(), threads, [&](std::size_t v, int worker) {
        Scratch& s = scratch[static_cast<std::size_t>(worker)];
        const std::span<const Near> own = chosen.of(v);
        s.all.assign(own.begin(), own.end());
        s.all.insert(s.all.end(),
                     offers.links.begin() + static_cast<std::ptrdiff_t>(offers.begin[v]),
                     offers.links.begin() + static_cast<std::ptrdiff_t>(offers.begin[v + 1]));
        sort_unique(s.all);
        s.all.resize(std::min(s.all.size(), kConsidered * out.width()));
        std::span<const Near> kept = s.all;
        if (kept.size() > out.width()) kept = s.chooser.choose(s.all, out.width());
        s.ids.clear();
        for (const Near& link : kept) s.ids.push_back(link.node);
        out.write(v, s.ids);
    });
}

}  // namespace nearfield
