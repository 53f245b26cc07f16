// Range search: the scan of search_rows with a floor that is known beforehand.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "index/ranking.h"
#include "index/search.h"
#include "quant/raw/query.h"
#include "quant/raw/scan.h"

namespace nearfield {
namespace {

/// The smallest key that may still meet the threshold once its score is rounded to float32.
double key_floor(const ExactScorer& scorer, double threshold, double query_norm) {
    const double slack = std::fabs(threshold) * 0x1p-20 + 0x1p-120;
    const bool is_l2 = scorer.metric() == Metric::kL2;
    return scorer.key_at(is_l2 ? threshold + slack : threshold - slack, query_norm);
}

/// The largest float not above x.
float floor_to_float(double x) {
    const auto f = static_cast<float>(x);
    return static_cast<double>(f) > x ? std::nextafterf(f, -std::numeric_limits<float>::infinity())
                                      : f;
}

/// The score as the user sees it, so that no returned score contradicts the threshold. Where float32
/// overflows, float64 decides: infinity would be on one side of every threshold.
double as_seen(double score) {
    const auto rounded = static_cast<float>(score);
    return std::isinf(rounded) ? score : static_cast<double>(rounded);
}

/// The rows whose exact score meets the threshold, best first.
RangeHits within(const StoredRows& rows, const ExactScorer& scorer, const float* query,
                 const std::vector<Id>& found, double threshold) {
    const double norm = scorer.query_norm(query);
    std::vector<Ranked> kept;
    for (std::size_t i = 0; i < found.size(); ++i) {
        if (i % kBlockRows == 0) checkpoint();
        const double key = scorer.key(query, found[i]);
        const double score = as_seen(scorer.score(key, norm));
        if (scorer.metric() == Metric::kL2 ? score <= threshold : score >= threshold) {
            kept.push_back({key, rows.label(found[i])});
        }
    }
    std::sort(kept.begin(), kept.end());
    RangeHits hits;
    for (const Ranked& ranked : kept) {
        hits.ids.push_back(ranked.label);
        hits.scores.push_back(static_cast<float>(scorer.score(ranked.key, norm)));
    }
    return hits;
}

/// The same where rows are coded, by what was kept of them or else by their codes. All are scored: this
/// call is rare, and bounds would have to come from each quantizer.
void score_runs(const StoredRows& rows, MatrixView<float> queries, double threshold,
                std::span<const Run> runs, RangeHits* out) {
    const ExactScorer scorer = rows.can_refine() ? rows.kept_scorer() : rows.scorer();
    std::vector<Id> found;
    for (const Run& run : runs) {
        for (Id row = run.first; row < run.first + run.count; ++row) {
            if (rows.passes(row)) found.push_back(row);
        }
    }
    const CodeQueries turned(rows, queries, 1);
    const MatrixView<float> asked = rows.can_refine() ? queries : turned.view();
    for (std::size_t i = 0; i < queries.rows; ++i) {
        out[i] = within(rows, scorer, asked.row(i), found, threshold);
    }
}

/// The answers of up to kPanelLanes queries among the rows of `runs`.
void scan_runs(const StoredRows& rows, MatrixView<float> queries, double threshold,
               std::span<const Run> runs, RangeHits* out) {
    if (rows.coded) return score_runs(rows, queries, threshold, runs, out);
    const std::size_t lanes = queries.rows;
    QueryPanel panel(rows.codes.spec, queries.data, queries.stride / sizeof(float), lanes);
    const ExactScorer scorer = rows.scorer();
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        const double norm = scorer.query_norm(queries.row(lane));
        const double key = key_floor(scorer, threshold, norm);
        panel.set_floor(lane, floor_to_float(panel.units(lane).of(key) - panel.key_slack(lane)));
    }
    std::vector<std::vector<Id>> found(lanes);
    HitBuffer hits;
    for (const Run& run : runs) {
        const std::size_t end = std::size_t{run.first} + run.count;
        for (std::size_t row = run.first; row < end; row += kBlockRows) {
            checkpoint();
            const std::size_t last = std::min(row + kBlockRows, end);
            panel.enter_block(rows.codes.error_of(row, last));
            const std::size_t n = scan_rows(rows.codes, row, last, panel, hits);
            for (std::size_t i = 0; i < n; ++i) {
                const auto id = static_cast<Id>(row + hits.pair[i] / kernels::kPanelLanes);
                if (rows.passes(id)) found[hits.pair[i] % kernels::kPanelLanes].push_back(id);
            }
        }
    }
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        out[lane] = within(rows, scorer, queries.row(lane), found[lane], threshold);
    }
}

}  // namespace

RangeHits range_search_runs(const StoredRows& rows, MatrixView<float> query, double threshold,
                            std::span<const Run> runs) {
    RangeHits out;
    scan_runs(rows, query, threshold, runs, &out);
    return out;
}

std::vector<RangeHits> range_search_rows(const StoredRows& rows, MatrixView<float> queries,
                                         double threshold, int threads) {
    std::vector<RangeHits> out(queries.rows);
    if (rows.codes.count == 0) return out;
    const Run all{0, static_cast<Id>(rows.codes.count)};
    const std::size_t workers = static_cast<std::size_t>(max_workers(threads));
    const std::size_t lanes =
        std::clamp<std::size_t>((queries.rows + workers - 1) / workers, 1, kernels::kPanelLanes);
    parallel_for((queries.rows + lanes - 1) / lanes, threads, [&](std::size_t p, int) {
        const std::size_t first = p * lanes;
        const std::size_t n = std::min(lanes, queries.rows - first);
        scan_runs(rows, {queries.row(first), n, queries.cols, queries.stride}, threshold, {&all, 1},
                  out.data() + first);
    });
    return out;
}

}  // namespace nearfield
