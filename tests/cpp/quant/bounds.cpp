// The error bound as a property: for every pair the float64 score, in the scan's units, lies between the
// lower and the upper bound, and a threshold never withholds a pair that reaches it.
#include <cmath>
#include <cstdint>
#include <iomanip>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "base/random.h"
#include "index/row_store.h"
#include "quant/at_level.h"
#include "quant/data.h"
#include "quant/raw/exact.h"
#include "quant/raw/query.h"
#include "quant/raw/scan.h"

using nearfield::CodeView;
using nearfield::DType;
using nearfield::ExactScorer;
using nearfield::HitBuffer;
using nearfield::Id;
using nearfield::kBlockRows;
using nearfield::Metric;
using nearfield::QueryPanel;
using nearfield::Random;
using nearfield::RowStore;
using nearfield::ScanKind;
using nearfield::kernels::kPanelLanes;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// One panel against one store: bounds of every pair, and the exact scores in lane units.
struct Pairs {
    std::vector<bool> seen;
    std::vector<float> upper;
    std::vector<float> lower;
    std::vector<double> exact;
};

/// The one place that knows how a scan reports pairs and where lower bounds come from.
Pairs scan_all(const RowStore& store, QueryPanel& panel) {
    const CodeView view = store.view(nullptr).codes;
    HitBuffer hits;
    Pairs pairs;
    pairs.seen.assign(store.count * panel.count(), false);
    pairs.upper.assign(store.count * panel.count(), 0.0f);
    pairs.lower = pairs.upper;
    for (std::size_t first = 0; first < store.count; first += kBlockRows) {
        panel.enter_block(view.errors[first / kBlockRows]);
        const std::size_t last = std::min(first + kBlockRows, store.count);
        const std::size_t n = nearfield::scan_rows(view, first, last, panel, hits);
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t row = first + hits.pair[i] / kPanelLanes;
            const std::size_t lane = hits.pair[i] % kPanelLanes;
            const std::size_t at = row * panel.count() + lane;
            CHECK(lane < panel.count());
            CHECK(!pairs.seen[at]);
            pairs.seen[at] = true;
            pairs.upper[at] = hits.upper[i];
            pairs.lower[at] =
                nearfield::lower_bound(hits.upper[i], static_cast<Id>(row), view, panel, lane);
        }
    }
    return pairs;
}

struct Problem {
    Metric metric;
    DType dtype;
    ScanKind kind;
    std::string rows_kind;
    std::string queries_kind;
    std::size_t count, dim, queries;

    std::string label() const {
        const char* const metrics[] = {"l2", "ip", "cosine"};
        return std::string(metrics[static_cast<std::size_t>(metric)]) + " " + data::name_of(dtype) +
               (kind == ScanKind::kBytes ? " in bytes, rows " : " in bfloat16, rows ") + rows_kind +
               " queries " + queries_kind + " " + std::to_string(count) + " x " +
               std::to_string(dim) + ", " + std::to_string(queries) + " queries";
    }
};

/// Every digit: scores of 1e-30 fail as well.
std::string spelled(double x) {
    std::ostringstream out;
    out << std::setprecision(17) << x;
    return out.str();
}

void require(bool holds, const Problem& p, std::size_t row, std::size_t lane, const char* what,
             double exact, double bound) {
    if (holds) return;
    check::fail(__FILE__, __LINE__,
                p.label() + ": row " + std::to_string(row) + ", lane " + std::to_string(lane) +
                    ": score " + spelled(exact) + " " + what + " " + spelled(bound));
}

/// What a float32 bound may lack through its own rounding.
double rounding(double bound) { return std::fabs(bound) * 0x1p-18 + 0x1p-118; }

void check_bounds(const Problem& p, const QueryPanel& panel, const Pairs& pairs) {
    for (std::size_t at = 0; at < pairs.exact.size(); ++at) {
        const std::size_t row = at / panel.count();
        const std::size_t lane = at % panel.count();
        require(pairs.seen[at], p, row, lane, "is not reported without a threshold", 0, 0);
        const double upper = pairs.upper[at];
        const double lower = pairs.lower[at];
        const double slack = panel.key_slack(lane);
        const double exact = pairs.exact[at];
        require(upper == upper && lower == lower, p, row, lane, "has no bound", exact, upper);
        require(!(exact > upper + rounding(upper) + slack), p, row, lane,
                "is above its upper bound", exact, upper);
        // The bound gives way to float64 rounding by itself.
        require(!(exact < lower - slack * 0x1p-20), p, row, lane, "is below its lower bound", exact,
                lower);
    }
}

/// The kinds of codes that rows of a storage type may have.
std::vector<ScanKind> kinds_of(DType dtype) {
    if (data::is_integer(dtype)) return {ScanKind::kBytes};
    return {ScanKind::kBytes, ScanKind::kBF16};
}

/// Floors are scores of real pairs: ties at the floor are the hard case.
void check_floors(const Problem& p, const RowStore& store, QueryPanel& panel, const Pairs& all,
                  Random& random) {
    std::vector<float> floors(panel.count());
    for (std::size_t lane = 0; lane < panel.count(); ++lane) {
        const double score =
            all.exact[random.below(store.count) * panel.count() + lane] - panel.key_slack(lane);
        auto floor = static_cast<float>(score);
        if (static_cast<double>(floor) > score) floor = std::nextafterf(floor, -kInfinity);
        floors[lane] = floor;
        panel.set_floor(lane, floor);
    }
    const Pairs some = scan_all(store, panel);
    for (std::size_t at = 0; at < all.exact.size(); ++at) {
        const std::size_t lane = at % panel.count();
        if (all.exact[at] - panel.key_slack(lane) < static_cast<double>(floors[lane])) continue;
        require(some.seen[at], p, at / panel.count(), lane, "is withheld by the floor",
                all.exact[at], floors[lane]);
    }
    for (std::size_t lane = 0; lane < panel.count(); ++lane) panel.set_floor(lane, -kInfinity);
}

void check_problem(const Problem& p, Random& random) {
    const data::Rows rows =
        data::store(p.dtype, p.count, p.dim,
                    data::draw(p.rows_kind, p.count, p.dim, data::largest(p.dtype), random));
    std::vector<float> queries = data::draw(p.queries_kind, p.queries, p.dim, 1e30, random);
    RowStore store(p.dim, p.metric, p.dtype, p.kind);
    store.append({rows.bytes.data(), p.count, p.dim, p.dim * nearfield::size_of(p.dtype), p.dtype},
                 nullptr, {}, 1);
    QueryPanel panel(store.spec, queries.data(), p.dim, p.queries);
    Pairs pairs = scan_all(store, panel);
    const nearfield::StoredRows view = store.view(nullptr);
    const ExactScorer scorer(p.metric, view.rows, view.norms);
    for (std::size_t row = 0; row < p.count; ++row) {
        for (std::size_t lane = 0; lane < p.queries; ++lane) {
            const double key = scorer.key(queries.data() + lane * p.dim, static_cast<Id>(row));
            pairs.exact.push_back(panel.units(lane).of(key));
        }
    }
    check_bounds(p, panel, pairs);
    for (int round = 0; round < 3; ++round) check_floors(p, store, panel, pairs, random);
}

}  // namespace

TEST_AT_LEVELS(scores_lie_between_their_bounds) {
    Random random(31);
    const std::size_t dims[] = {1, 7, 33, 64, 100, 160};
    const std::size_t queries[] = {1, 3, 5, 17, 64};
    std::size_t turn = 0;
    for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
        for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8, DType::kU8}) {
            for (const std::string& kind : data::kinds()) {
                for (int round = 0; round < 2; ++round) {
                    // Queries of the same kind, then of another one.
                    const std::string other = data::kinds()[random.below(data::kinds().size())];
                    for (const ScanKind scan : kinds_of(dtype)) {
                        const Problem p{metric,
                                        dtype,
                                        scan,
                                        kind,
                                        round == 0 ? kind : other,
                                        turn % 3 == 0 ? kBlockRows + 37 : 45,
                                        dims[turn % 6],
                                        queries[turn % 5]};
                        check_problem(p, random);
                    }
                    ++turn;
                }
            }
        }
    }
}

/// Sums of the longest rows still fit 32 bits.
TEST_AT_LEVELS(the_largest_dim_does_not_overflow) {
    Random random(32);
    for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
        for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8, DType::kU8}) {
            for (const ScanKind scan : kinds_of(dtype)) {
                for (const char* kind : {"extremes", "gaussian", "halfway"}) {
                    check_problem({metric, dtype, scan, kind, kind, 5, 65536, 4}, random);
                    check_problem({metric, dtype, scan, "constant", kind, 5, 65536, 2}, random);
                }
            }
        }
    }
}

/// Integer queries of integer rows: bounds and scores are one and the same number.
TEST_AT_LEVELS(integers_have_no_margin) {
    Random random(33);
    for (const Metric metric : {Metric::kL2, Metric::kIp}) {
        for (const DType dtype : {DType::kI8, DType::kU8}) {
            const std::size_t dim = 96;
            const auto x = data::draw("integers", 300, dim, 1e9, random);
            const data::Rows rows = data::store(dtype, 300, dim, x);
            std::vector<float> queries = data::draw("integers", 20, dim, 60, random);
            if (dtype == DType::kU8) {
                for (float& v : queries) v = std::fabs(v) + (metric == Metric::kL2 ? 90.0f : 0.0f);
            }
            RowStore store(dim, metric, dtype);
            store.append({rows.bytes.data(), 300, dim, dim, dtype}, nullptr, {}, 1);
            QueryPanel panel(store.spec, queries.data(), dim, 20);
            panel.enter_block(store.view(nullptr).codes.errors[0]);
            for (std::size_t lane = 0; lane < 20; ++lane) CHECK_EQ(panel.width(lane), 0.0f);
        }
    }
}
