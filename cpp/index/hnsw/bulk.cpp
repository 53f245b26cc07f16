// Laying out all levels, then linking each of them.
#include "index/hnsw/bulk.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/parallel.h"
#include "index/hnsw/back_links.h"
#include "index/hnsw/equal_rows.h"
#include "index/hnsw/far_rows.h"
#include "index/hnsw/grouped_rows.h"
#include "index/hnsw/nearest_rows.h"
#include "index/hnsw/neighbours.h"
#include "index/hnsw/reach.h"

namespace nearfield {
namespace {

/// Least of how many nearest ones links are chosen from.
constexpr std::size_t kLeastWanted = 64;
/// Of ef_construction, one of so many is a list to look into: the work for 200, and what it finds, is then like
/// that of a search of this breadth.
constexpr std::size_t kBreadthOfList = 3;
constexpr std::size_t kLeastProbed = 8;
constexpr std::size_t kMostProbed = 512;

NearestSpec nearest_spec(const GraphSpec& spec) noexcept {
    return {.wanted = std::max({kLeastWanted, 2 * spec.m, spec.ef_construction / 2}),
            .probed = std::clamp(spec.ef_construction / kBreadthOfList, kLeastProbed, kMostProbed)};
}

/// Of builds on this thread; null: they link rows themselves.
thread_local const LinkSource* link_source = nullptr;

Column column_of(const std::vector<Id>& ids) {
    Column column;
    if (!ids.empty()) {
        std::memcpy(column.extend(ids.size() * sizeof(Id)), ids.data(), ids.size() * sizeof(Id));
    }
    return column;
}

class Builder {
public:
    Builder(const RowReader& reader, std::size_t n, Graph graph, int threads)
        : reader_(reader), n_(n), graph_(std::move(graph)), threads_(threads) {}

    Graph build() {
        std::vector<Id> rows(n_);
        std::iota(rows.begin(), rows.end(), Id{0});
        add_level(rows, rows);
        while (graph_.levels.back().count() > kTopNodes) rise();
        for (std::size_t level = 0; level < graph_.levels.size(); ++level) {
            if (graph_.levels[level].links.width() != 0) link(level);
        }
        // From the top, so that what leads to a level is complete before the level is looked at.
        for (std::size_t level = graph_.levels.size(); level-- > 0;) {
            if (graph_.levels[level].links.width() != 0) tie_in(graph_, level);
        }
        graph_.codes.append(reader_, {graph_.levels[0].ids(), n_}, threads_);
        return std::move(graph_);
    }

private:
    /// Adds the level of those that rise from the last one.
    void rise() {
        const std::size_t last = graph_.levels.size() - 1;
        const Level& level = graph_.levels[last];
        std::vector<Id> risen;
        for (std::size_t i = 0; i < level.count(); ++i) {
            if (rises(graph_.spec, last, i)) risen.push_back(static_cast<Id>(i));
        }
        if (risen.empty()) risen.push_back(0);
        std::vector<Id> rows(risen.size());
        for (std::size_t i = 0; i < rows.size(); ++i) {
            rows[i] = graph_.row(last == 0 ? risen[i] : level.ids()[risen[i]]);
        }
        add_level(rows, risen);
    }

    /// rows: of the level's nodes, in any order. below: their numbers on the level below; on level 0 the rows.
    void add_level(std::span<const Id> rows, std::span<const Id> below) {
        const std::size_t level = graph_.levels.size();
        const std::size_t n = rows.size();
        grouped_.push_back(group_rows(reader_, rows, graph_.codes.centre(), graph_.by_distance,
                                      graph_.spec.seed + level, threads_));
        std::vector<Id>& stored = stored_.emplace_back(n);
        std::vector<Id> nodes(n);
        for (std::size_t i = 0; i < n; ++i) {
            stored[i] = rows[grouped_[level].numbers[i]];
            nodes[i] = below[grouped_[level].numbers[i]];
        }
        Level& made = graph_.levels.emplace_back();
        if (level > 1) {
            made.below = column_of(nodes);
            for (Id& node : nodes) node = graph_.levels[level - 1].ids()[node];
        }
        made.nodes = column_of(nodes);
        const bool top = level > 0 && n <= kTopNodes;
        if (!top) made.links = Links(level == 0 ? 2 * graph_.spec.m : graph_.spec.m);
    }

    void link(std::size_t level) {
        const GroupedRows& rows = grouped_[level];
        Links& links = graph_.levels[level].links;
        links.extend(rows.count());
        const std::vector<Id> originals = originals_of(rows.rows, threads_);
        std::vector<Id> different;
        for (std::size_t i = 0; i < originals.size(); ++i) {
            if (originals[i] == i) different.push_back(static_cast<Id>(i));
        }
        if (different.size() == rows.count()) return link_different(rows, stored_[level], links);
        const GroupedRows some = part_of(rows, std::move(different), 1);
        Links among_some(links.width());
        among_some.extend(some.count());
        std::vector<Id> stored(some.count());
        for (std::size_t i = 0; i < stored.size(); ++i) {
            stored[i] = stored_[level][some.numbers[i]];
        }
        link_different(some, stored, among_some);
        link_equal(originals, some.numbers, among_some, links);
    }

    /// stored: which rows of the reader they are.
    void link_different(const GroupedRows& rows, std::span<const Id> stored, Links& links) const {
        const FarRows far(rows, graph_.spec.seed, threads_);
        const NearestSpec spec = nearest_spec(graph_.spec);
        if (link_source != nullptr) {
            return (*link_source)({reader_.stored(), stored, rows.lists.begin, rows.rows, far,
                                   spec.wanted, spec.probed},
                                  links);
        }
        Neighbours chosen(rows.count(), links.width());
        choose(rows, far, spec, chosen);
        link_back(chosen, rows.rows, kLinkSlack, links, threads_);
    }

    void choose(const GroupedRows& rows, const FarRows& far, const NearestSpec& spec,
                Neighbours& chosen) const {
        struct Scratch {
            LinkChooser chooser;
            std::vector<Near> candidates;
        };
        std::vector<Scratch> scratch;
        for (int w = 0; w < max_workers(threads_); ++w) {
            scratch.push_back({{rows.rows, kLinkSlack}, {}});
        }
        const auto take = [&](Id node, std::span<const Near> nearest, int worker) {
            Scratch& s = scratch[static_cast<std::size_t>(worker)];
            s.candidates.assign(nearest.begin(), nearest.end());
            far.append(node, s.candidates);
            if (s.candidates.size() > nearest.size()) sort_unique(s.candidates);
            chosen.set(node, s.chooser.choose(s.candidates, chosen.most()));
        };
        nearest_rows(rows.rows, rows.lists, spec, threads_, take);
    }

    const RowReader& reader_;
    std::size_t n_;
    Graph graph_;
    int threads_;
    std::vector<GroupedRows> grouped_;     // the rows of each level
    std::vector<std::vector<Id>> stored_;  // and which ones of the reader they are
};

}  // namespace

LinkScope::LinkScope(const LinkSource& source) noexcept : before_(link_source) {
    link_source = &source;
}

LinkScope::~LinkScope() { link_source = before_; }

Graph build_graph(const RowReader& rows, std::size_t n, Graph empty, int threads) {
    return Builder(rows, n, std::move(empty), threads).build();
}

}  // namespace nearfield
