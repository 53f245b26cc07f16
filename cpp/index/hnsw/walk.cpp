#include "index/hnsw/walk.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nearfield {
namespace {

/// Nodes of the top level that are scored together.
constexpr std::size_t kTogether = 64;

}  // namespace

void Walk::start(const Graph& graph, std::size_t level, Id entry, const WalkQuery& query,
                 std::size_t breadth, const Horizon& horizon) {
    graph_ = &graph;
    level_ = &graph.levels[level];
    query_ = &query;
    is_lowest_ = level == 0;
    count_ = level_->count();
    horizon_ = horizon;
    has_horizon_ = std::isfinite(horizon.stretch) && std::isfinite(query.highest);
    least_ = -std::numeric_limits<float>::infinity();
    followed_ = 0;
    beam_.reset(breadth);
    visited_.clear(count_);
    const std::size_t room = std::max<std::size_t>(level_->links.width(), 1);
    if (links_.size() < room) {
        links_.resize(room);
        pending_.resize(room);
        coded_.resize(room);
        scores_.resize(room);
    }
    fetched_ = visited_.add(&entry, 1, pending_.data());
    ask_for_codes();
    level_->links.prefetch(entry);
}

void Walk::ask_for_codes() noexcept {
    for (std::size_t i = 0; i < fetched_; ++i) {
        coded_[i] = is_lowest_ ? pending_[i] : level_->ids()[pending_[i]];
        graph_->codes.prefetch(coded_[i]);
        if (query_->terms != nullptr) __builtin_prefetch(query_->terms + coded_[i]);
    }
}

bool Walk::fetch() {
    if (!beam_.has_next() || beam_.next_score() < least_) return false;
    ++followed_;
    const std::size_t n = level_->links.read(beam_.next(), count_, links_.data());
    beam_.follow();
    fetched_ = visited_.add(links_.data(), n, pending_.data());
    // More often than not the best that is left now is still the best once these are scored.
    if (beam_.has_next()) level_->links.prefetch(beam_.next());
    ask_for_codes();
    return true;
}

void Walk::absorb() {
    graph_->codes.scores(*query_, coded_.data(), fetched_, scores_.data());
    for (std::size_t i = 0; i < fetched_; ++i) {
        if (scores_[i] >= least_) beam_.insert(scores_[i], pending_[i]);
    }
    if (has_horizon_) move_horizon();
    if (beam_.has_next()) level_->links.prefetch(beam_.next());
}

void Walk::move_horizon() noexcept {
    if (beam_.size() < horizon_.k) return;
    const double kth = query_->highest - static_cast<double>(beam_.score(horizon_.k - 1));
    least_ = static_cast<float>(query_->highest - horizon_.stretch * std::max(kth, query_->noise));
}

Id best_of_top(const Graph& graph, const WalkQuery& query) {
    const Level& top = graph.levels.back();
    const bool is_lowest = graph.levels.size() == 1;
    Id best = 0;
    float best_score = -std::numeric_limits<float>::infinity();
    Id nodes[kTogether];
    float scores[kTogether];
    for (std::size_t first = 0; first < top.count(); first += kTogether) {
        const std::size_t n = std::min(kTogether, top.count() - first);
        for (std::size_t i = 0; i < n; ++i) {
            nodes[i] = is_lowest ? static_cast<Id>(first + i) : top.ids()[first + i];
        }
        graph.codes.scores(query, nodes, n, scores);
        for (std::size_t i = 0; i < n; ++i) {
            if (scores[i] > best_score) {
                best_score = scores[i];
                best = static_cast<Id>(first + i);
            }
        }
    }
    return best;
}

Id descend(const Graph& graph, std::size_t level, const WalkQuery& query, Walk& walk) {
    Id node = best_of_top(graph, query);
    for (std::size_t at = graph.levels.size() - 1; at > level; --at) {
        node = one_down(graph, at, node);
        if (at - 1 == level) break;
        walk.start(graph, at - 1, node, query, kDescentBreadth);
        walk.run();
        node = walk.found().node(0);
    }
    return node;
}

}  // namespace nearfield
