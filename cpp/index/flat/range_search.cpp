// Range search: the scan of flat_search with a floor that is known beforehand.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "index/flat/recheck.h"
#include "index/flat/search.h"
#include "quant/raw/query.h"
#include "quant/raw/scan.h"

namespace nearfield {
namespace {

/// The smallest key that may still meet the threshold once its score is rounded to float32.
double key_floor(const ExactScorer& scorer, double threshold) {
    const double slack = std::fabs(threshold) * 0x1p-20 + 0x1p-120;
    switch (scorer.metric()) {
        case Metric::kIp: return threshold - slack;
        case Metric::kL2: return -(threshold + slack);
        case Metric::kCosine: return (threshold - slack) * scorer.query_norm();
    }
    return threshold;
}

/// The largest float not above x.
float floor_to_float(double x) {
    const auto f = static_cast<float>(x);
    return static_cast<double>(f) > x ? std::nextafterf(f, -std::numeric_limits<float>::infinity())
                                      : f;
}

void scan_panel(const FlatRows& rows, MatrixView<float> queries, std::size_t first,
                std::size_t lanes, double threshold, std::vector<RangeHits>& out) {
    QueryPanel panel(rows.codes.spec, queries.row(first), queries.stride / sizeof(float), lanes);
    ExactScorer scorer(rows.codes.spec.metric, rows.rows, rows.norms);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        scorer.bind(queries.row(first + lane));
        const double floor = panel.in_lane_units(lane, key_floor(scorer, threshold));
        panel.set_floor(lane, floor_to_float(floor - panel.key_slack(lane)));
    }
    std::vector<std::vector<Candidate>> found(lanes);
    HitBuffer hits = make_hit_buffer();
    for (std::size_t row = 0; row < rows.codes.count; row += kBlockRows) {
        checkpoint();
        panel.enter_block(rows.codes.errors[row / kBlockRows]);
        const std::size_t last = std::min(row + kBlockRows, rows.codes.count);
        const std::size_t n = scan_rows(rows.codes, row, last, panel, hits);
        for (std::size_t i = 0; i < n; ++i) {
            const auto id = static_cast<Id>(row + hits[i].row);
            if (rows.passes(id)) found[hits[i].lane].push_back({hits[i].upper, 0.0f, id});
        }
    }
    Rechecker recheck(rows, 1);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        checkpoint();
        recheck.within(queries.row(first + lane), found[lane], threshold);
        recheck.append_to(out[first + lane]);
    }
}

}  // namespace

std::vector<RangeHits> flat_range_search(const FlatRows& rows, MatrixView<float> queries,
                                         double threshold, int threads) {
    std::vector<RangeHits> out(queries.rows);
    if (rows.codes.count == 0) return out;
    const std::size_t workers = static_cast<std::size_t>(max_workers(threads));
    const std::size_t lanes =
        std::clamp<std::size_t>((queries.rows + workers - 1) / workers, 1, kernels::kPanelLanes);
    parallel_for((queries.rows + lanes - 1) / lanes, threads, [&](std::size_t p, int) {
        const std::size_t first = p * lanes;
        scan_panel(rows, queries, first, std::min(lanes, queries.rows - first), threshold, out);
    });
    return out;
}

}  // namespace nearfield
