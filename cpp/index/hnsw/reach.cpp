#include "index/hnsw/reach.h"

#include <algorithm>
#include <vector>

#include "base/interrupt.h"

namespace nearfield {
namespace {

constexpr Id kEntry = kNoNode - 1;

/// The tree of shortest ways over one level.
class Reach {
public:
    explicit Reach(const Links& links, std::size_t count)
        : links_(links), parent_(count, kNoNode), ids_(links.width()) {}

    bool reached(Id node) const noexcept { return parent_[node] != kNoNode; }
    bool needs(Id from, Id to) const noexcept { return parent_[to] == from; }
    std::size_t count() const noexcept { return queue_.size(); }
    const std::vector<Id>& parents() const noexcept { return parent_; }

    void start(Id node, Id parent = kEntry) {
        if (reached(node)) return;
        parent_[node] = parent;
        queue_.push_back(node);
    }

    /// Goes on to all that can be reached from what was started.
    void spread() {
        for (; next_ < queue_.size(); ++next_) {
            if (next_ % 1024 == 0) checkpoint();
            const Id node = queue_[next_];
            const std::size_t n = links_.read(node, ids_.data());
            for (std::size_t i = 0; i < n; ++i) start(ids_[i], node);
        }
    }

private:
    const Links& links_;
    std::vector<Id> parent_;
    std::vector<Id> ids_;
    std::vector<Id> queue_;
    std::size_t next_ = 0;
};

/// above_reached: which nodes of the level above to start from; null: all.
Reach reach_of(const Graph& graph, std::size_t level,
               const std::vector<bool>* above_reached = nullptr) {
    const Level& here = graph.levels[level];
    Reach reach(here.links, here.count());
    if (level + 1 == graph.levels.size()) {
        for (std::size_t i = 0; i < here.count(); ++i) reach.start(static_cast<Id>(i));
    } else {
        const Level& above = graph.levels[level + 1];
        const Id* const down = level == 0 ? above.ids() : above.below.as<Id>();
        for (std::size_t i = 0; i < above.count(); ++i) {
            if (above_reached == nullptr || (*above_reached)[i]) reach.start(down[i]);
        }
    }
    reach.spread();
    return reach;
}

class Tying {
public:
    Tying(Links& links, std::size_t count, Reach& reach)
        : links_(links),
          count_(count),
          reach_(reach),
          own_(links.width()),
          theirs_(links.width()) {}

    /// From one of the nodes it leads to, else from the nearest in the order of nodes that can take it.
    void tie(Id node) {
        const std::size_t n = links_.read(node, own_.data());
        for (std::size_t i = 0; i < n; ++i) {
            if (link(own_[i], node)) return;
        }
        for (std::size_t away = 1; away < count_; ++away) {
            if (node >= away && link(static_cast<Id>(node - away), node)) return;
            if (node + away < count_ && link(static_cast<Id>(node + away), node)) return;
        }
    }

private:
    bool link(Id from, Id to) {
        if (!reach_.reached(from)) return false;
        std::size_t n = links_.read(from, theirs_.data());
        if (n == links_.width()) {
            std::size_t last = n;
            while (last > 0 && reach_.needs(from, theirs_[last - 1])) --last;
            if (last == 0) return false;
            theirs_[last - 1] = to;
        } else {
            theirs_[n++] = to;
        }
        links_.write(from, std::span(theirs_).first(n));
        reach_.start(to, from);
        reach_.spread();
        return true;
    }

    Links& links_;
    std::size_t count_;
    Reach& reach_;
    std::vector<Id> own_;
    std::vector<Id> theirs_;
};

}  // namespace

std::vector<Id> parents_of(const Graph& graph, std::size_t level) {
    std::vector<Id> parents = reach_of(graph, level).parents();
    std::replace(parents.begin(), parents.end(), kEntry, kNoNode);
    return parents;
}

std::size_t count_reached(const Graph& graph) {
    std::size_t count = 0;
    std::vector<bool> above;  // nodes of the level above that are reached
    for (std::size_t level = graph.levels.size(); level-- > 0;) {
        const Reach reach =
            reach_of(graph, level, level + 1 < graph.levels.size() ? &above : nullptr);
        above.assign(graph.levels[level].count(), false);
        for (std::size_t i = 0; i < above.size(); ++i) above[i] = reach.reached(static_cast<Id>(i));
        count = reach.count();
    }
    return count;
}

std::size_t tie_in(Graph& graph, std::size_t level) {
    Level& here = graph.levels[level];
    Reach reach = reach_of(graph, level);
    const std::size_t missing = here.count() - reach.count();
    if (missing == 0) return 0;
    Tying tying(here.links, here.count(), reach);
    for (std::size_t i = 0; i < here.count(); ++i) {
        const auto node = static_cast<Id>(i);
        if (!reach.reached(node)) tying.tie(node);
    }
    return missing;
}

}  // namespace nearfield
