#include "index/hnsw/insert.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/parallel.h"
#include "index/hnsw/linker.h"
#include "index/hnsw/walk.h"

namespace nearfield {
namespace {

/// Rows of one batch: as many as a share of those that are there, since rows of a batch do not find each other
/// by way of the graph.
constexpr std::size_t kBatchShare = 8;
/// Of what was found the best are candidates for links; more are hardly ever chosen.
constexpr std::size_t kMostCandidates = 128;

/// What one batch does to one level.
struct LevelBatch {
    std::size_t count = 0;                 // nodes there before
    std::vector<Id> lowest;                // the new nodes' numbers on level 0
    std::vector<Id> below;                 // and on the level below
    std::vector<std::vector<Id>> links;    // of the new nodes
    std::vector<Id> old;                   // nodes there before that get other links
    std::vector<std::vector<Id>> relinks;  // these
};

/// Memory of one thread.
struct Scratch {
    Scratch(const RowReader& rows, bool by_distance) : row(rows.dim()), linker(rows, by_distance) {}

    std::vector<float> row;
    WalkQuery query;
    Walk walk;
    Linker linker;
    std::vector<float> scores;
    std::vector<Near> near;
    LinkCandidates candidates;
    std::vector<Id> links;
    std::vector<Id> kept;
};

/// Who is whose parent while a batch is given its places in the tree.
class Families {
public:
    Families(const Links& links, std::vector<Id>& parents, std::size_t first)
        : links_(links), parents_(parents), first_(first), room_(links.width() / 2) {}

    /// One of these nodes, or of their descendants, that can have another child; of new nodes only those
    /// before `node`, so that nobody is an ancestor of itself. kNoNode if there is none.
    Id find_room(std::span<const Id> nodes, Id node) {
        std::vector<Id> waiting(nodes.begin(), nodes.end());
        std::erase_if(waiting, [&](Id id) { return id >= node; });
        for (std::size_t i = 0; i < waiting.size(); ++i) {
            const std::vector<Id>& children = children_of(waiting[i]);
            if (children.size() < room_) return waiting[i];
            waiting.insert(waiting.end(), children.begin(), children.end());
        }
        return kNoNode;
    }

    void add(Id parent, Id node) {
        parents_[node] = parent;
        children_of(parent).push_back(node);
    }

private:
    std::vector<Id>& children_of(Id node) {
        const auto [at, is_new] = children_.try_emplace(node);
        if (is_new && node < first_) {
            buffer_.resize(links_.width());
            const std::size_t n = links_.read(node, buffer_.data());
            for (std::size_t i = 0; i < n; ++i) {
                const Id other = buffer_[i];
                if (parents_[other] == node) at->second.push_back(other);
            }
        }
        return at->second;
    }

    const Links& links_;
    std::vector<Id>& parents_;
    std::size_t first_;
    std::size_t room_;
    std::unordered_map<Id, std::vector<Id>> children_;
    std::vector<Id> buffer_;
};

class Batch {
public:
    Batch(Graph& graph, Parents& parents, const RowReader& rows, std::size_t last, int threads)
        : graph_(graph),
          parents_(parents),
          rows_(rows),
          first_(graph.count()),
          last_(last),
          threads_(threads) {
        for (int w = 0; w < max_workers(threads); ++w)
            scratch_.emplace_back(rows, graph.by_distance);
    }

    void insert() {
        place();
        parallel_for(last_ - first_, threads_, [&](std::size_t i, int worker) {
            find_links(static_cast<Id>(first_ + i), scratch_[static_cast<std::size_t>(worker)]);
        });
        for (std::size_t level = 0; level < levels_.size(); ++level) {
            if (width(level) == 0) continue;
            name_parents(level);
            link_back(level);
        }
        publish();
    }

private:
    void place();
    void find_links(Id node, Scratch& s);
    void gather_candidates(std::size_t level, Id node, Scratch& s);
    void name_parents(std::size_t level);
    void link_back(std::size_t level);
    void relink(std::size_t level, Id node, std::span<const Id> more, Scratch& s,
                std::vector<Id>& out);
    void publish();

    std::size_t width(std::size_t level) const { return graph_.levels[level].links.width(); }

    /// The row of a node of a level, old or new.
    Id row(std::size_t level, Id node) const {
        const LevelBatch& batch = levels_[level];
        if (node >= batch.count) return batch.lowest[node - batch.count];  // which is its row
        return graph_.row(level == 0 ? node : graph_.levels[level].ids()[node]);
    }

    Graph& graph_;
    Parents& parents_;
    const RowReader& rows_;
    std::size_t first_;
    std::size_t last_;
    int threads_;
    std::vector<LevelBatch> levels_;
    std::vector<Scratch> scratch_;
};

/// Which levels every new node is on.
void Batch::place() {
    levels_.resize(graph_.levels.size());
    for (std::size_t l = 0; l < levels_.size(); ++l) levels_[l].count = graph_.levels[l].count();
    for (std::size_t node = first_; node < last_; ++node) {
        auto number = static_cast<Id>(node);
        Id below = 0;
        for (std::size_t l = 0; l < levels_.size(); ++l) {
            if (l > 0 && !rises(graph_.spec, l - 1, below)) break;
            number = static_cast<Id>(levels_[l].count + levels_[l].lowest.size());
            levels_[l].lowest.push_back(static_cast<Id>(node));
            levels_[l].below.push_back(below);
            below = number;
        }
    }
    for (LevelBatch& level : levels_) level.links.resize(level.lowest.size());
}

void Batch::find_links(Id node, Scratch& s) {
    rows_.read(node, s.row.data());
    graph_.codes.prepare(s.row.data(), 1.0, s.query);
    for (std::size_t level = 0; level < levels_.size(); ++level) {
        LevelBatch& batch = levels_[level];
        const auto at = std::lower_bound(batch.lowest.begin(), batch.lowest.end(), node);
        if (at == batch.lowest.end() || *at != node) return;
        if (width(level) == 0) continue;
        const auto i = static_cast<std::size_t>(at - batch.lowest.begin());
        gather_candidates(level, static_cast<Id>(batch.count + i), s);
        const auto links = s.linker.choose(node, s.candidates, width(level));
        batch.links[i].assign(links.begin(), links.end());
    }
}

/// What is near a new node by walk codes: what the graph finds, and others of the batch.
void Batch::gather_candidates(std::size_t level, Id node, Scratch& s) {
    const LevelBatch& batch = levels_[level];
    s.near.clear();
    if (batch.count != 0) {
        const Id entry = descend(graph_, level, s.query, s.walk);
        s.walk.start(graph_, level, entry, s.query, graph_.spec.ef_construction);
        s.walk.run();
        const Beam& found = s.walk.found();
        for (std::size_t i = 0; i < found.size(); ++i) {
            s.near.push_back({-found.score(i), found.node(i)});
        }
    }
    s.scores.resize(batch.lowest.size());
    graph_.codes.scores(s.query, batch.lowest.data(), batch.lowest.size(), s.scores.data());
    for (std::size_t i = 0; i < batch.lowest.size(); ++i) {
        const auto other = static_cast<Id>(batch.count + i);
        if (other != node) s.near.push_back({-s.scores[i], other});
    }
    const std::size_t n = std::min(s.near.size(), kMostCandidates);
    std::partial_sort(s.near.begin(), s.near.begin() + static_cast<std::ptrdiff_t>(n),
                      s.near.end());
    s.candidates.clear();
    for (std::size_t i = 0; i < n; ++i)
        s.candidates.add(s.near[i].node, row(level, s.near[i].node));
}

/// A new node becomes the child of the nearest node it links to that has room for children, which is half of
/// its links; where none has, as among equal rows, of the first descendant of one that has.
void Batch::name_parents(std::size_t level) {
    LevelBatch& batch = levels_[level];
    std::vector<Id>& parents = parents_[level];
    parents.resize(batch.count);  // nothing of a failed call
    parents.resize(batch.count + batch.lowest.size(), kNoNode);
    Families families(graph_.levels[level].links, parents, batch.count);
    for (std::size_t i = 0; i < batch.links.size(); ++i) {
        std::vector<Id>& links = batch.links[i];
        const auto node = static_cast<Id>(batch.count + i);
        if (node == 0) continue;
        Id parent = families.find_room(links, node);
        // All it links to may come after it in the batch.
        if (parent == kNoNode) parent = families.find_room(std::array{node - 1}, node);
        families.add(parent, node);
        if (std::find(links.begin(), links.end(), parent) == links.end()) {
            if (links.size() == width(level)) links.pop_back();
            links.push_back(parent);
        }
    }
}

/// Whatever a new node links to is offered a link back.
void Batch::link_back(std::size_t level) {
    LevelBatch& batch = levels_[level];
    struct Offer {
        Id to;
        Id from;
    };
    std::vector<Offer> offers;
    for (std::size_t i = 0; i < batch.links.size(); ++i) {
        for (const Id to : batch.links[i]) offers.push_back({to, static_cast<Id>(batch.count + i)});
    }
    std::sort(offers.begin(), offers.end(), [](const Offer& a, const Offer& b) {
        return a.to < b.to || (a.to == b.to && a.from < b.from);
    });
    std::vector<std::size_t> starts;
    for (std::size_t i = 0; i < offers.size(); ++i) {
        if (i == 0 || offers[i].to != offers[i - 1].to) starts.push_back(i);
    }
    starts.push_back(offers.size());
    std::vector<std::vector<Id>> found(starts.size() - 1);
    parallel_for(found.size(), threads_, [&](std::size_t t, int worker) {
        Scratch& s = scratch_[static_cast<std::size_t>(worker)];
        std::vector<Id> more;
        for (std::size_t i = starts[t]; i < starts[t + 1]; ++i) more.push_back(offers[i].from);
        relink(level, offers[starts[t]].to, more, s, found[t]);
    });
    for (std::size_t t = 0; t < found.size(); ++t) {
        const Id node = offers[starts[t]].to;
        if (node >= batch.count) {
            batch.links[node - batch.count] = std::move(found[t]);
        } else {
            batch.old.push_back(node);
            batch.relinks.push_back(std::move(found[t]));
        }
    }
}

/// The links of a node and more of them, or the best of these where there are too many.
void Batch::relink(std::size_t level, Id node, std::span<const Id> more, Scratch& s,
                   std::vector<Id>& out) {
    const LevelBatch& batch = levels_[level];
    if (node >= batch.count) {
        out = batch.links[node - batch.count];
    } else {
        out.resize(width(level));
        out.resize(graph_.levels[level].links.read(node, out.data()));
    }
    for (const Id id : more) {
        if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
    }
    if (out.size() <= width(level)) return;
    s.candidates.clear();
    s.kept.clear();
    for (const Id id : out) {
        s.candidates.add(id, row(level, id));
        if (parents_[level][id] == node) s.kept.push_back(id);
    }
    const auto links = s.linker.choose(row(level, node), s.candidates, width(level), s.kept);
    out.assign(links.begin(), links.end());
}

/// Everything that can fail has been done; from here on searches see one new link after another.
void Batch::publish() {
    for (std::size_t l = 0; l < levels_.size(); ++l) {
        const LevelBatch& batch = levels_[l];
        Level& level = graph_.levels[l];
        const std::size_t bytes = batch.lowest.size() * sizeof(Id);
        std::copy(batch.lowest.begin(), batch.lowest.end(),
                  reinterpret_cast<Id*>(level.nodes.extend(bytes)));
        if (l > 1) {
            std::copy(batch.below.begin(), batch.below.end(),
                      reinterpret_cast<Id*>(level.below.extend(bytes)));
        }
        if (width(l) != 0) level.links.extend(batch.lowest.size());
    }
    for (std::size_t l = 0; l < levels_.size(); ++l) {
        if (width(l) == 0) continue;
        const LevelBatch& batch = levels_[l];
        Links& links = graph_.levels[l].links;
        for (std::size_t i = 0; i < batch.links.size(); ++i) {
            links.write(batch.count + i, batch.links[i]);
        }
        for (std::size_t i = 0; i < batch.old.size(); ++i)
            links.write(batch.old[i], batch.relinks[i]);
    }
}

}  // namespace

void insert_rows(Graph& graph, Parents& parents, const RowReader& rows, std::size_t last,
                 int threads) {
    while (graph.count() < last) {
        const std::size_t count = graph.count();
        const std::size_t most = batch_rows(count);
        Batch(graph, parents, rows, std::min(last, count + most), threads).insert();
    }
}

std::size_t batch_rows(std::size_t count) noexcept {
    return std::clamp<std::size_t>(count / kBatchShare, 1, kMostInBatch);
}

}  // namespace nearfield
