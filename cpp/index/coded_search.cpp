#include "index/coded_search.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/interrupt.h"
#include "base/parallel.h"
#include "index/ranking.h"

namespace nearfield {
namespace {

constexpr std::size_t kSegment = 4096;
/// Below this many rows, or above this share of them wanted, codes exclude next to nothing.
constexpr std::size_t kScanRows = 128;
/// Pairs of a query and a list, or a row, that are held at once.
constexpr std::size_t kMaxPairs = std::size_t{1} << 21;
/// Rows decoded at a time, and queries that share the decoding.
constexpr std::size_t kDecoded = 16;
constexpr std::size_t kSharers = 16;

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

struct Scored {
    Ranked ranked;
    Id row;

    bool operator<(const Scored& other) const noexcept { return ranked < other.ranked; }
};

/// Keeps the best n, in no order.
void keep_best(std::vector<Scored>& scored, std::size_t n) {
    if (scored.size() <= n) return;
    std::nth_element(scored.begin(), scored.begin() + static_cast<std::ptrdiff_t>(n), scored.end());
    scored.resize(n);
}

/// Every row that may answer, scored by its code, for some queries.
std::vector<std::vector<Scored>> score_all(const StoredRows& rows, MatrixView<float> queries) {
    const std::size_t dim = queries.cols;
    std::vector<std::vector<Scored>> scored(queries.rows);
    std::vector<float> decoded(kDecoded * dim);
    const ExactScorer scorer = rows.scorer();
    for (std::size_t first = 0; first < rows.codes.count; first += kDecoded) {
        if (first % kBlockRows == 0) checkpoint();
        const std::size_t n = std::min(kDecoded, rows.codes.count - first);
        rows.coded->rows.read(first, n, decoded.data());
        for (std::size_t r = 0; r < n; ++r) {
            const auto row = static_cast<Id>(first + r);
            if (!rows.passes(row)) continue;
            for (std::size_t i = 0; i < queries.rows; ++i) {
                const double key = scorer.key_of(queries.row(i), decoded.data() + r * dim, row);
                scored[i].push_back({{key, rows.label(row)}, row});
            }
        }
    }
    return scored;
}

void search_outright(const StoredRows& rows, MatrixView<float> queries, const Wanted& wanted,
                     int threads, const TopKOut& out) {
    if (rows.by_signs()) {
        search_all(rows, queries, wanted.k, false, threads, out);
        return;
    }
    const CodeQueries turned(rows, queries, threads);
    const std::size_t at_once = std::clamp<std::size_t>(
        kMaxPairs / std::max<std::size_t>(rows.codes.count, 1), 1, kSharers);
    parallel_for(ceil_div(queries.rows, at_once), threads, [&](std::size_t part, int) {
        const std::size_t first = part * at_once;
        const std::size_t n = std::min(at_once, queries.rows - first);
        const MatrixView<float> as_coded = turned.view();
        auto scored = score_all(rows, {as_coded.row(first), n, as_coded.cols, as_coded.stride});
        const ExactScorer scorer = rows.can_refine() ? rows.kept_scorer() : rows.scorer();
        for (std::size_t i = 0; i < n; ++i) {
            checkpoint();
            const float* query = queries.row(first + i);
            keep_best(scored[i], wanted.found(rows));
            if (rows.can_refine()) {
                for (std::size_t r = 0; r < scored[i].size(); ++r) {
                    if (r % kBlockRows == 0) checkpoint();
                    scored[i][r].ranked.key = scorer.key(query, scored[i][r].row);
                }
                keep_best(scored[i], wanted.k);
            }
            std::sort(scored[i].begin(), scored[i].end());
            std::vector<Ranked> best;
            for (const Scored& s : scored[i]) best.push_back(s.ranked);
            write_row(best, wanted.k, scorer, scorer.query_norm(query), first + i, out);
        }
    });
}

}  // namespace

Lists segments_of(std::size_t rows) {
    std::vector<std::uint32_t> counts(std::max<std::size_t>(ceil_div(rows, kSegment), 1), 0);
    for (std::size_t s = 0; s < counts.size(); ++s) {
        counts[s] = static_cast<std::uint32_t>(std::min(rows, (s + 1) * kSegment) -
                                               std::min(rows, s * kSegment));
    }
    return Lists(counts.size()).extended(0, counts);
}

void search_coded(const StoredRows& rows, const Lists& lists, MatrixView<float> queries,
                  const Wanted& wanted, int threads, const TopKOut& out) {
    if (queries.rows == 0) return;
    const std::size_t n = rows.codes.count;
    const std::size_t there = rows.filter != nullptr ? rows.filter->count() : n;
    if (n < kScanRows || wanted.found(rows) > there / 4 || there < n / 128) {
        search_outright(rows, queries, wanted, threads, out);
        return;
    }
    const std::size_t nprobe = lists.size();
    const std::size_t at_once =
        std::min(queries.rows, std::max<std::size_t>(kMaxPairs / nprobe, 1));
    std::vector<Id> all(at_once * nprobe);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<Id>(i % nprobe);
    for (std::size_t first = 0; first < queries.rows; first += at_once) {
        const std::size_t now = std::min(at_once, queries.rows - first);
        search_lists(
            rows, lists, {queries.row(first), now, queries.cols, queries.stride},
            {std::span<const Id>(all).first(now * nprobe), nprobe}, wanted, threads,
            {out.ids + first * wanted.k, out.scores + first * wanted.k, out.counts + first});
    }
}

void search_exhaustively(const StoredRows& rows, MatrixView<float> queries, const Wanted& wanted,
                         int threads, const TopKOut& out) {
    if (rows.coded) {
        search_coded(rows, segments_of(rows.codes.count), queries, wanted, threads, out);
    } else {
        search_rows(rows, queries, wanted.k, false, threads, out);
    }
}

}  // namespace nearfield
