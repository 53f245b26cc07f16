#include "index/recheck.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/interrupt.h"

namespace nearfield {
namespace {

constexpr std::size_t kPrefetchAhead = 16;
constexpr std::size_t kMaxBuckets = 8192;

/// What a float32 upper bound may lack through its own rounding.
double widened(float upper) noexcept {
    const double u = static_cast<double>(upper);
    return u + std::fabs(u) * 0x1p-18 + 0x1p-118;
}

}  // namespace

Recheck::Recheck(const StoredRows& rows, MatrixView<float> queries, MatrixView<float> code_queries,
                 std::size_t k, std::size_t rerank)
    : rows_(rows),
      all_queries_(queries),
      code_queries_(code_queries),
      k_(k),
      found_(rows.can_refine() ? std::max(k, rerank) : k),
      scorer_(rows.scorer()) {}

void Recheck::add(std::size_t query, std::span<const Candidate> found, const KeyUnits& units) {
    queries_.push_back({query, units, pairs_.size(), found.size(), 0});
    for (const Candidate& c : found) {
        // NaN, from a bound that overflowed, has no place in an order: it may be anything.
        const bool known = c.upper == c.upper;
        pairs_.push_back({known ? c.upper : std::numeric_limits<float>::infinity(), c.row, 0.0});
    }
}

void Recheck::run(const TopKOut& out) {
    if (estimates_) {
        rank_estimates();
    } else {
        first_round();
        second_round();
    }
    if (rows_.can_refine()) refine();
    const ExactScorer scorer = rows_.can_refine() ? rows_.kept_scorer() : scorer_;
    for (const Query& q : queries_) write(q, scorer, out);
    queries_.clear();
    pairs_.clear();
}

void Recheck::visit(const Query& q, MatrixView<float> queries, std::size_t from, std::size_t to) {
    const float* query = queries.row(q.number);
    for (std::size_t i = q.first + from; i < q.first + to; ++i) {
        visits_.push_back({pairs_[i].row, static_cast<std::uint32_t>(i), query});
    }
}

void Recheck::first_round() {
    for (Query& q : queries_) {
        Pair* pairs = pairs_of(q);
        q.visited = std::min(found_, q.count);
        std::nth_element(pairs, pairs + q.visited, pairs + q.count,
                         [this](const Pair& a, const Pair& b) {
                             if (a.upper != b.upper) return a.upper > b.upper;
                             return rows_.label(a.row) < rows_.label(b.row);
                         });
        visit(q, code_queries_, 0, q.visited);
    }
    visit_all(scorer_);
}

void Recheck::second_round() {
    for (Query& q : queries_) {
        if (q.count <= found_) continue;
        Pair* pairs = pairs_of(q);
        double worst = pairs[0].key;
        for (std::size_t i = 1; i < q.visited; ++i) worst = std::min(worst, pairs[i].key);
        const double floor = q.units.of(worst) - q.units.slack;
        const Pair* end =
            std::partition(pairs + q.visited, pairs + q.count,
                           [floor](const Pair& p) { return !(widened(p.upper) < floor); });
        const auto wanted = static_cast<std::size_t>(end - pairs);
        visit(q, code_queries_, q.visited, wanted);
        q.visited = wanted;
    }
    visit_all(scorer_);
}

void Recheck::rank_estimates() {
    for (Query& q : queries_) {
        Pair* pairs = pairs_of(q);
        for (std::size_t i = 0; i < q.count; ++i) {
            pairs[i].key = static_cast<double>(pairs[i].upper);
        }
        q.visited = q.count;
    }
}

/// The best by code, scored by what was kept of the rows.
void Recheck::refine() {
    for (Query& q : queries_) {
        Pair* pairs = pairs_of(q);
        const std::size_t best = std::min(found_, q.visited);
        std::nth_element(
            pairs, pairs + best, pairs + q.visited, [this](const Pair& a, const Pair& b) {
                return Ranked{a.key, rows_.label(a.row)} < Ranked{b.key, rows_.label(b.row)};
            });
        q.visited = best;
        visit(q, all_queries_, 0, best);
    }
    visit_all(rows_.kept_scorer());
}

void Recheck::visit_all(const ExactScorer& scorer) {
    // One counting pass is order enough: rows of one bucket lie close together.
    const std::size_t buckets = std::min(kMaxBuckets, visits_.size() + 1);
    const std::size_t per_bucket = rows_.codes.count / buckets + 1;
    std::vector<std::uint32_t> starts(buckets + 1, 0);
    for (const Visit& v : visits_) ++starts[v.row / per_bucket + 1];
    for (std::size_t b = 0; b < buckets; ++b) starts[b + 1] += starts[b];
    ordered_.resize(visits_.size());
    for (const Visit& v : visits_) ordered_[starts[v.row / per_bucket]++] = v;
    visits_.clear();
    for (std::size_t i = 0; i < ordered_.size(); ++i) {
        if (i % 256 == 0) checkpoint();
        if (i + kPrefetchAhead < ordered_.size()) scorer.prefetch(ordered_[i + kPrefetchAhead].row);
        pairs_[ordered_[i].pair].key = scorer.key(ordered_[i].query, ordered_[i].row);
    }
}

void Recheck::write(const Query& q, const ExactScorer& scorer, const TopKOut& out) {
    Pair* pairs = pairs_of(q);
    std::vector<Ranked>& ranked = ranked_;
    ranked.resize(q.visited);
    for (std::size_t i = 0; i < q.visited; ++i) {
        ranked[i] = {pairs[i].key, rows_.label(pairs[i].row)};
    }
    const auto kept = static_cast<std::ptrdiff_t>(std::min(k_, q.visited));
    std::nth_element(ranked.begin(), ranked.begin() + kept, ranked.end());
    std::sort(ranked.begin(), ranked.begin() + kept);
    ranked.resize(static_cast<std::size_t>(kept));
    write_row(ranked, k_, scorer, scorer.query_norm(all_queries_.row(q.number)), q.number, out);
}

}  // namespace nearfield
