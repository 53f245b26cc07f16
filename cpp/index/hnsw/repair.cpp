#include "index/hnsw/repair.h"

#include <algorithm>

#include "base/parallel.h"
#include "index/hnsw/linker.h"

namespace nearfield {
namespace {

/// Nodes of one task.
constexpr std::size_t kTask = 64;

/// Numbers of what is left, kNoNode of what is not.
struct Numbering {
    std::vector<Id> number;
    std::vector<Id> left;

    template <class Keep>
    Numbering(std::size_t count, const Keep& keep) : number(count, kNoNode) {
        for (std::size_t i = 0; i < count; ++i) {
            if (!keep(static_cast<Id>(i))) continue;
            number[i] = static_cast<Id>(left.size());
            left.push_back(static_cast<Id>(i));
        }
    }
    bool has(Id id) const noexcept { return number[id] != kNoNode; }
};

template <class F>
Column ids_of(std::size_t n, const F& id_of) {
    Column out;
    auto* const to = reinterpret_cast<Id*>(out.extend(n * sizeof(Id)));
    for (std::size_t i = 0; i < n; ++i) to[i] = id_of(i);
    return out;
}

/// The links of one level among what is left of it.
class LevelRepair {
public:
    LevelRepair(const Graph& graph, std::size_t level, const Numbering& nodes,
                const RowReader& rows)
        : graph_(graph),
          level_(level),
          links_(graph.levels[level].links),
          nodes_(nodes),
          rows_(rows) {}

    Links repaired(int threads) const {
        Links out(links_.width());
        out.extend(nodes_.left.size());
        parallel_for((nodes_.left.size() + kTask - 1) / kTask, threads, [&](std::size_t task, int) {
            Linker linker(rows_, graph_.by_distance);
            LinkCandidates candidates;
            std::vector<Id> links;
            const std::size_t last = std::min(nodes_.left.size(), (task + 1) * kTask);
            for (std::size_t i = task * kTask; i < last; ++i) {
                find(nodes_.left[i], candidates, links, linker);
                for (Id& link : links) link = nodes_.number[link];
                out.write(i, links);
            }
        });
        return out;
    }

private:
    Id row(Id node) const noexcept {
        return graph_.row(level_ == 0 ? node : graph_.levels[level_].ids()[node]);
    }

    void find(Id node, LinkCandidates& candidates, std::vector<Id>& links, Linker& linker) const {
        std::vector<Id> old(links_.width());
        old.resize(links_.read(node, old.data()));
        links.clear();
        for (const Id id : old) {
            if (nodes_.has(id)) links.push_back(id);
        }
        if (links.size() == old.size()) return;
        std::vector<Id> further(links_.width());
        for (const Id dead : old) {
            if (nodes_.has(dead)) continue;
            const std::size_t n = links_.read(dead, further.data());
            for (std::size_t i = 0; i < n; ++i) {
                const Id id = further[i];
                if (id != node && nodes_.has(id)) links.push_back(id);
            }
        }
        std::sort(links.begin(), links.end());
        links.erase(std::unique(links.begin(), links.end()), links.end());
        candidates.clear();
        for (const Id id : links) candidates.add(id, row(id));
        const auto chosen = linker.choose(row(node), candidates, links_.width());
        links.assign(chosen.begin(), chosen.end());
    }

    const Graph& graph_;
    std::size_t level_;
    const Links& links_;
    const Numbering& nodes_;
    const RowReader& rows_;
};

}  // namespace

Graph without_dead(const Graph& graph, const RowReader& reader, const RowFilter& live,
                   int threads) {
    const Numbering rows(live.size(), [&](Id row) { return live.test(row); });
    std::vector<Numbering> nodes;
    nodes.reserve(graph.levels.size());
    nodes.emplace_back(graph.count(), [&](Id node) { return rows.has(graph.row(node)); });
    for (std::size_t l = 1; l < graph.levels.size(); ++l) {
        const Id* const ids = graph.levels[l].ids();
        nodes.emplace_back(graph.levels[l].count(), [&](Id i) { return nodes[0].has(ids[i]); });
    }
    Graph out;
    out.spec = graph.spec;
    out.by_distance = graph.by_distance;
    out.codes = graph.codes.taken(nodes[0].left, threads);
    for (std::size_t l = 0; l < graph.levels.size(); ++l) {
        const std::vector<Id>& left = nodes[l].left;
        if (left.empty()) break;  // and whatever is above
        const Level& old = graph.levels[l];
        Level level;
        const Numbering& named = l == 0 ? rows : nodes[0];
        level.nodes =
            ids_of(left.size(), [&](std::size_t i) { return named.number[old.ids()[left[i]]]; });
        if (l > 1) {
            level.below = ids_of(left.size(), [&](std::size_t i) {
                return nodes[l - 1].number[old.below.as<Id>()[left[i]]];
            });
        }
        level.links = Links(old.links.width());
        if (old.links.width() != 0)
            level.links = LevelRepair(graph, l, nodes[l], reader).repaired(threads);
        out.levels.push_back(std::move(level));
    }
    if (out.levels.size() > 1) out.levels.back().links = Links();
    return out;
}

}  // namespace nearfield
