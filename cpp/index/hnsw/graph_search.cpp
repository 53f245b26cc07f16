#include "index/hnsw/graph_search.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <vector>

#include "base/interrupt.h"
#include "base/parallel.h"
#include "index/hnsw/walk.h"
#include "index/ranking.h"

namespace nearfield {
namespace {

/// Queries that take turns on one thread.
constexpr std::size_t kInTurn = 2;
/// Of the nodes that a walk follows, this share is scored by what is stored, unless the caller says how many.
constexpr double kRerankShare = 0.25;
/// Queries of one task: a few rounds of turns.
constexpr std::size_t kTask = 64;

/// What all queries of a search share.
struct Shared {
    const Graph& graph;
    const StoredRows& rows;
    MatrixView<float> asked;
    MatrixView<float> queries;  // turned as rows are
    Breadth breadth;
    const float* terms;
    ExactScorer scorer;
    const TopKOut& out;
};

/// One query on its way through the levels.
class Seeker {
public:
    void start(const Shared& shared, std::size_t number) {
        number_ = number;
        const WalkCodes& codes = shared.graph.codes;
        const float* const query = shared.queries.row(number);
        if (shared.rows.is_folded) {
            codes.prepare_folded(query, shared.terms, query_);
        } else {
            codes.prepare(query, codes.unit(), query_);
        }
        level_ = shared.graph.levels.size() - 1;
        step_down(shared, best_of_top(shared.graph, query_));
    }

    /// One turn; false when the answer has been written.
    bool turn(const Shared& shared) {
        if (is_scoring_) {
            score(shared);
            return false;
        }
        walk_.absorb();
        if (walk_.fetch()) return true;
        if (level_ > 0) {
            step_down(shared, walk_.found().node(0));
        } else {
            ask_for_rows(shared);
        }
        return true;
    }

private:
    /// From a node of level_ to the walk on the level below; on level 0 from it, where that is the top.
    void step_down(const Shared& shared, Id node) {
        if (level_ > 0) {
            node = one_down(shared.graph, level_, node);
            --level_;
        }
        is_scoring_ = false;
        if (level_ > 0) {
            walk_.start(shared.graph, level_, node, query_, kDescentBreadth);
        } else {
            walk_.start(shared.graph, 0, node, query_, shared.breadth.kept, shared.breadth.horizon);
        }
    }

    std::size_t rerank(const Breadth& breadth) const noexcept {
        if (breadth.rerank != 0) return breadth.rerank;
        const double followed = static_cast<double>(walk_.followed()) * breadth.passing;
        return std::max(2 * breadth.k, static_cast<std::size_t>(kRerankShare * followed));
    }

    void ask_for_rows(const Shared& shared) {
        const Beam& found = walk_.found();
        const std::size_t most = rerank(shared.breadth);
        chosen_.clear();
        for (std::size_t i = 0; i < found.size() && chosen_.size() < most; ++i) {
            const Id row = shared.graph.row(found.node(i));
            if (!shared.rows.passes(row)) continue;
            shared.scorer.prefetch(row);
            chosen_.push_back(row);
        }
        is_scoring_ = true;
    }

    void score(const Shared& shared) {
        const std::size_t k = shared.breadth.k;
        const float* const query = shared.queries.row(number_);
        ranked_.clear();
        for (const Id row : chosen_) {
            ranked_.push_back({shared.scorer.key(query, row), shared.rows.label(row)});
        }
        const std::size_t n = std::min(k, ranked_.size());
        std::partial_sort(ranked_.begin(), ranked_.begin() + static_cast<std::ptrdiff_t>(n),
                          ranked_.end());
        ranked_.resize(n);
        const double norm = shared.scorer.query_norm(shared.asked.row(number_));
        write_row(ranked_, k, shared.scorer, norm, number_, shared.out);
    }

    std::size_t number_ = 0;
    std::size_t level_ = 0;
    bool is_scoring_ = false;
    WalkQuery query_;
    Walk walk_;
    std::vector<Id> chosen_;
    std::vector<Ranked> ranked_;
};

void seek(const Shared& shared, std::size_t first, std::size_t last) {
    // A thread keeps its memory from one call to the next.
    thread_local std::vector<Seeker> seekers(kInTurn);
    std::array<std::uint8_t, kInTurn> turns;  // whose they are: walks point into their seekers
    std::iota(turns.begin(), turns.end(), std::uint8_t{0});
    std::size_t active = std::min(kInTurn, last - first);
    std::size_t next = first;
    for (std::size_t i = 0; i < active; ++i) seekers[i].start(shared, next++);
    while (active > 0) {
        for (std::size_t i = 0; i < active;) {
            Seeker& seeker = seekers[turns[i]];
            if (seeker.turn(shared)) {
                ++i;
            } else if (next < last) {
                checkpoint();
                seeker.start(shared, next++);
                ++i;
            } else {
                std::swap(turns[i], turns[--active]);
            }
        }
    }
}

}  // namespace

void search_graph(const Graph& graph, const StoredRows& rows, MatrixView<float> queries,
                  const Breadth& breadth, const float* terms, int threads, const TopKOut& out) {
    const bool is_kept = rows.rows.data != nullptr;
    std::optional<CodeQueries> turned;
    if (!is_kept) turned.emplace(rows, queries, threads);
    const Shared shared{graph,
                        rows,
                        queries,
                        is_kept ? queries : turned->view(),
                        breadth,
                        terms,
                        is_kept ? rows.kept_scorer() : rows.scorer(),
                        out};
    const auto workers = static_cast<std::size_t>(max_workers(threads));
    const std::size_t task = std::clamp<std::size_t>(queries.rows / (4 * workers), 1, kTask);
    parallel_for((queries.rows + task - 1) / task, threads, [&](std::size_t t, int) {
        seek(shared, t * task, std::min(queries.rows, (t + 1) * task));
    });
}

}  // namespace nearfield
