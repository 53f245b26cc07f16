#include "index/hnsw/bulk.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/parallel.h"
#include "index/hnsw/back_links.h"
#include "index/hnsw/nearest_rows.h"
#include "index/hnsw/partition.h"
#include "index/hnsw/reach.h"

namespace nearfield {
namespace {

/// Rows of a list, and how many times as many at most.
constexpr std::size_t kListRows = 100;
constexpr std::size_t kLargestList = 4;
/// What a row's links are chosen from: so many nearest ones of the lists it looks into.
constexpr NearestSpec kNearest{.wanted = 100, .probed = 48, .compared = 8000};

/// One level while it is linked.
struct LevelRows {
    Partition lists;
    ByteRows rows;
    std::vector<Id> below;  // number of each node on the level below; level 0: its row
};

class Builder {
public:
    Builder(const RowReader& reader, std::size_t n, Graph graph, int threads)
        : reader_(reader), n_(n), graph_(std::move(graph)), threads_(threads) {}

    Graph build() {
        lay_out();
        for (std::size_t level = levels_.size(); level-- > 0;) {
            Level& out = graph_.levels[level];
            if (out.links.width() == 0) continue;
            out.links.extend(out.count());
            link(level);
            tie_in(graph_, level);
        }
        graph_.codes.append(reader_, {graph_.levels[0].ids(), n_}, threads_);
        return std::move(graph_);
    }

private:
    void lay_out() {
        std::vector<Id> rows(n_);
        std::iota(rows.begin(), rows.end(), Id{0});
        add_level(rows, rows);
        while (levels_.back().below.size() > kTopNodes) {
            const std::size_t level = levels_.size() - 1;
            const std::vector<Id> level0 = ids_of(level);
            std::vector<Id> up;
            for (std::size_t i = 0; i < level0.size(); ++i) {
                if (rises(graph_.spec, level, i)) up.push_back(static_cast<Id>(i));
            }
            if (up.empty()) up.push_back(0);
            std::vector<Id> of_rows(up.size());
            for (std::size_t i = 0; i < up.size(); ++i) of_rows[i] = graph_.row(level0[up[i]]);
            add_level(of_rows, up);
        }
    }

    std::vector<Id> ids_of(std::size_t level) const {
        const Level& l = graph_.levels[level];
        std::vector<Id> ids(l.ids(), l.ids() + l.count());
        if (level == 0) std::iota(ids.begin(), ids.end(), Id{0});
        return ids;
    }

    /// rows: of the level's nodes in any order; below: their numbers on the level below.
    void add_level(std::span<const Id> rows, std::vector<Id> below) {
        const std::size_t level = levels_.size();
        LevelRows& made = levels_.emplace_back(
            LevelRows{partition(reader_, rows, {kListRows, kLargestList * kListRows},
                                graph_.by_distance, graph_.spec.seed + level, threads_),
                      ByteRows(reader_.dim(), graph_.by_distance),
                      {}});
        const std::vector<Id>& order = made.lists.order;
        const std::size_t n = order.size();
        made.below.resize(n);
        for (std::size_t i = 0; i < n; ++i) made.below[i] = below[order[i]];
        Level& out = graph_.levels.emplace_back();
        std::vector<Id> ids = made.below;
        if (level > 1) {
            for (Id& id : ids) id = graph_.levels[level - 1].ids()[id];
            out.below = column_of(made.below);
        }
        out.nodes = column_of(ids);
        if (level == 0 || n > kTopNodes) {
            out.links = Links(level == 0 ? 2 * graph_.spec.m : graph_.spec.m);
        }
        made.rows.resize(n);
        std::vector<std::vector<float>> scratch(static_cast<std::size_t>(max_workers(threads_)));
        const std::span<const float> centre = graph_.codes.centre();
        if (graph_.by_distance) {
            for (std::size_t i = 0; i < made.lists.centres.size(); ++i) {
                made.lists.centres[i] -= centre[i % centre.size()];
            }
        }
        parallel_for(n, threads_, [&](std::size_t i, int worker) {
            std::vector<float>& x = scratch[static_cast<std::size_t>(worker)];
            x.resize(reader_.dim());
            reader_.read(rows[order[i]], x.data());
            if (graph_.by_distance) {
                for (std::size_t d = 0; d < x.size(); ++d) x[d] -= centre[d];
            }
            made.rows.set(i, x.data());
        });
    }

    static Column column_of(const std::vector<Id>& ids) {
        Column column;
        std::memcpy(column.extend(ids.size() * sizeof(Id)), ids.data(), ids.size() * sizeof(Id));
        return column;
    }

    void link(std::size_t level) {
        const LevelRows& here = levels_[level];
        const std::size_t n = here.below.size();
        const std::size_t width = graph_.levels[level].links.width();
        const std::size_t most = width;
        ChosenLinks chosen(n, most);
        struct Scratch {
            LinkChooser chooser;
            std::vector<Near> candidates;
        };
        std::vector<Scratch> scratch;
        for (int w = 0; w < max_workers(threads_); ++w)
            scratch.push_back({{here.rows, kLinkSlack}, {}});
        const std::vector<Id> above = above_of(level);
        nearest_rows(here.rows, here.lists, kNearest, threads_,
                     [&](Id node, std::span<const Near> nearest, int worker) {
                         Scratch& s = scratch[static_cast<std::size_t>(worker)];
                         s.candidates.assign(nearest.begin(), nearest.end());
                         if (!above.empty() && above[node] != kNoNode) {
                             add_far(level, node, above[node], s.candidates);
                         }
                         chosen.set(node, s.chooser.choose(s.candidates, most));
                     });
        link_back(chosen, here.rows, kLinkSlack, graph_.levels[level].links, threads_);
    }

    /// Number of each node on the level above, kNoNode where it is not there or there are no links.
    std::vector<Id> above_of(std::size_t level) const {
        if (level + 1 >= levels_.size() || graph_.levels[level + 1].links.width() == 0) return {};
        std::vector<Id> above(levels_[level].below.size(), kNoNode);
        const std::vector<Id>& below = levels_[level + 1].below;
        for (std::size_t i = 0; i < below.size(); ++i) above[below[i]] = static_cast<Id>(i);
        return above;
    }

    void add_far(std::size_t level, Id node, Id above, std::vector<Near>& candidates) const {
        const Links& links = graph_.levels[level + 1].links;
        std::vector<Id> ids(links.width());
        ids.resize(links.read(above, ids.data()));
        for (Id& id : ids) id = levels_[level + 1].below[id];
        std::vector<float> distances(ids.size());
        levels_[level].rows.distances(node, ids.data(), ids.size(), distances.data());
        for (std::size_t i = 0; i < ids.size(); ++i) {
            const Near far{distances[i], ids[i]};
            const bool known = std::any_of(candidates.begin(), candidates.end(),
                                           [&](const Near& c) { return c.node == far.node; });
            if (!known) candidates.push_back(far);
        }
        std::sort(candidates.begin(), candidates.end());
    }

    const RowReader& reader_;
    std::size_t n_;
    Graph graph_;
    int threads_;
    std::vector<LevelRows> levels_;
};

}  // namespace

Graph build_graph(const RowReader& rows, std::size_t n, Graph empty, int threads) {
    return Builder(rows, n, std::move(empty), threads).build();
}

}  // namespace nearfield
