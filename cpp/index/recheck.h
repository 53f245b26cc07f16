// Recheck: from candidates with bounds to the exact answers of a group of queries.
//
// Two rounds. First the k candidates of each query with the largest upper bounds are scored exactly;
// the k-th of those keys is a floor that excludes nearly all others, and what it does not exclude is
// scored in the second round. In each round the (row, query) pairs of the whole group are visited in
// the order of rows: stored rows then stream through the cache instead of missing it one by one.
// Cost: k + a few exact scores a query, about dim * 4 bytes read for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/ranking.h"
#include "index/search.h"
#include "quant/raw/exact.h"
#include "quant/raw/query.h"
#include "select/candidates.h"

namespace nearfield {

class Recheck {
public:
    Recheck(const StoredRows& rows, MatrixView<float> queries, std::size_t k)
        : Recheck(rows, queries, queries, k, k) {}
    /// For coded rows: queries as their codes take them, and how many of the best by code are scored by what
    /// was kept of them, where anything was.
    Recheck(const StoredRows& rows, MatrixView<float> queries, MatrixView<float> code_queries,
            std::size_t k, std::size_t rerank);

    /// One query of the group: its number, its candidates, and what keys are in the units of their bounds.
    void add(std::size_t query, std::span<const Candidate> found, const KeyUnits& units);

    /// Candidates' bounds are what they are ranked by before they are scored.
    void take_estimates() noexcept { estimates_ = true; }

    /// Answers what has been added and starts anew.
    void run(const TopKOut& out);

    /// Pairs waiting; run() before they outgrow the cache by far.
    std::size_t pending() const noexcept { return pairs_.size(); }

private:
    struct Pair {
        float upper;
        Id row;
        double key;  // once visited
    };
    struct Query {
        std::size_t number;
        KeyUnits units;
        std::size_t first;  // its pairs: [first, first + count)
        std::size_t count;
        std::size_t visited;  // the first of them have keys
    };
    struct Visit {
        Id row;
        std::uint32_t pair;
        const float* query;
    };

    Pair* pairs_of(const Query& q) noexcept { return pairs_.data() + q.first; }
    void first_round();
    void second_round();
    void visit(const Query& q, MatrixView<float> queries, std::size_t from, std::size_t to);
    void rank_estimates();
    void refine();
    void visit_all(const ExactScorer& scorer);
    void write(const Query& q, const ExactScorer& scorer, const TopKOut& out);

    const StoredRows& rows_;
    MatrixView<float> all_queries_;
    MatrixView<float> code_queries_;
    std::size_t k_;
    bool estimates_ = false;
    std::size_t found_;  // how many of the best by code
    ExactScorer scorer_;
    std::vector<Query> queries_;
    std::vector<Pair> pairs_;
    std::vector<Visit> visits_;
    std::vector<Visit> ordered_;
    std::vector<Ranked> ranked_;
};

}  // namespace nearfield
