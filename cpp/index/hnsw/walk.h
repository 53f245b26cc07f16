// Walk: best-first search of one level for the nodes nearest to a query, by walk codes.
//
// A turn of fetch() and absorb() follows one node: fetch() asks memory for the codes of the nodes it leads
// to, absorb() scores them. Between the two other walks can have their turns, so that several queries wait
// for memory at the same time.
// Source: Malkov & Yashunin, arXiv:1603.09320, Algorithm 2.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "index/hnsw/beam.h"
#include "index/hnsw/graph.h"
#include "index/hnsw/visited.h"

namespace nearfield {

/// How far a walk goes: not to nodes whose squared distance is more than `stretch` times that of the k-th nearest
/// found so far. Where many nodes are almost as near as that, it takes long; where few are, it ends soon.
/// Source: Al-Jazzazi et al., "Distance adaptive beam search for provably accurate graph-based nearest neighbor
/// search" (arXiv:2505.15636).
struct Horizon {
    std::size_t k = 1;
    double stretch = std::numeric_limits<double>::infinity();
};

class Walk {
public:
    /// Starts at a node of a level, which is to be absorb()ed, and keeps the `breadth` best nodes. graph and
    /// query must outlive the walk.
    void start(const Graph& graph, std::size_t level, Id entry, const WalkQuery& query,
               std::size_t breadth, const Horizon& horizon = {});

    /// Follows the best node that was not followed yet; false where there is none.
    bool fetch();
    void absorb();

    /// To the end.
    void run() {
        do {
            absorb();
        } while (fetch());
    }

    /// What was found, best first: numbers on the level.
    const Beam& found() const noexcept { return beam_; }
    /// How many nodes were followed.
    std::size_t followed() const noexcept { return followed_; }

private:
    void ask_for_codes() noexcept;
    void move_horizon() noexcept;

    const Graph* graph_ = nullptr;
    const Level* level_ = nullptr;
    const WalkQuery* query_ = nullptr;
    bool is_lowest_ = true;
    std::size_t count_ = 0;  // nodes that may be seen
    Horizon horizon_;
    bool has_horizon_ = false;
    float least_ = 0.0f;  // scores that are worth keeping
    std::size_t followed_ = 0;
    Beam beam_;
    Visited visited_;
    std::vector<Id> links_;
    std::size_t fetched_ = 0;
    std::vector<Id> pending_;  // the nodes fetched, by their numbers on the level
    std::vector<Id> coded_;    // and on level 0
    std::vector<float> scores_;
};

/// The best node of the top level, by its number there. Not for a graph without nodes.
Id best_of_top(const Graph& graph, const WalkQuery& query);

/// The number of a node of `level`, not the lowest, one level further down.
inline Id one_down(const Graph& graph, std::size_t level, Id node) noexcept {
    const Level& at = graph.levels[level];
    return level == 1 ? at.ids()[node] : at.below.as<Id>()[node];
}

/// From the top down: the node of `level` to start at. `walk` is scratch.
Id descend(const Graph& graph, std::size_t level, const WalkQuery& query, Walk& walk);

/// Breadth of walks on the way down.
inline constexpr std::size_t kDescentBreadth = 1;

}  // namespace nearfield
