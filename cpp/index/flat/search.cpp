#include "index/flat/search.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "base/parallel.h"
#include "index/flat/ranking.h"
#include "index/flat/recheck.h"
#include "quant/raw/query.h"
#include "quant/raw/scan.h"
#include "select/candidates.h"

namespace nearfield {
namespace {

/// Packed queries of one group stay in L2 beside the block of rows they meet.
constexpr std::size_t kGroupBytes = std::size_t{768} << 10;
constexpr std::size_t kMaxPanelsPerGroup = 16;
constexpr std::size_t kMinPanelsPerGroup = 3;
/// A range of rows worth a task of its own.
constexpr std::size_t kMinBlocksPerRange = 16;
/// Candidates re-checked together: enough to share rows, few enough to stay small.
constexpr std::size_t kMaxPending = std::size_t{1} << 20;
/// Candidates of one query, beyond 2 k, above which exact keys thin them out.
constexpr std::size_t kMaxHeld = 8192;
/// Below this many rows, or above this share of them wanted, codes exclude next to nothing.
constexpr std::size_t kScanRows = 128;

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// How queries and rows are cut into tasks.
struct Plan {
    std::size_t panel_lanes;  // queries in a panel, the last one fewer
    std::size_t group_lanes;  // queries in a group
    std::size_t groups;
    std::size_t ranges;  // row ranges per group
    std::size_t range_blocks;

    Plan(std::size_t queries, std::size_t rows, std::size_t depth, std::size_t threads) {
        const std::size_t blocks = ceil_div(rows, kBlockRows);
        // Every thread gets queries of its own while that leaves it half a panel of them.
        const std::size_t shares =
            std::clamp<std::size_t>(queries / (kernels::kPanelLanes / 2), 1, threads);
        const std::size_t panels = std::max(ceil_div(queries, kernels::kPanelLanes), shares);
        // Even panels: 65 queries run as 48 + 17, not as 64 + 1.
        panel_lanes =
            std::min(round_up(ceil_div(queries, panels), kernels::kGroup), kernels::kPanelLanes);
        const std::size_t per_group = std::clamp<std::size_t>(
            kGroupBytes / (depth * kernels::kPanelLanes), 1, kMaxPanelsPerGroup);
        groups = std::max({ceil_div(panels, per_group), shares,
                           std::min(2 * threads, panels / kMinPanelsPerGroup)});
        group_lanes = ceil_div(ceil_div(queries, panel_lanes), groups) * panel_lanes;
        groups = ceil_div(queries, group_lanes);
        // The rest is split by rows; each range pays for finding its floors.
        ranges = groups >= threads ? 1
                                   : std::clamp<std::size_t>(
                                         ceil_div(2 * threads, groups), 1,
                                         std::max<std::size_t>(1, blocks / kMinBlocksPerRange));
        range_blocks = ceil_div(blocks, ranges);
        ranges = std::max<std::size_t>(1, ceil_div(blocks, range_blocks));
    }
};

/// One group of queries: its floors are shared by the ranges, its candidates merged at the end.
struct Group {
    std::size_t first = 0;
    std::size_t count = 0;
    std::unique_ptr<std::atomic<float>[]> floors;
    std::vector<std::vector<Candidates>> found;  // per range, per query
    std::atomic<std::size_t> open{0};
};

class Search {
public:
    Search(const FlatRows& rows, MatrixView<float> queries, std::size_t k, bool exclude_self,
           std::size_t threads)
        : rows_(rows),
          queries_(queries),
          k_(k),
          exclude_self_(exclude_self),
          scorer_(rows.codes.spec.metric, rows.rows, rows.norms),
          plan_(queries.rows, rows.codes.count, code_depth(rows.codes.spec), threads),
          groups_(plan_.groups) {
        for (std::size_t g = 0; g < groups_.size(); ++g) {
            Group& group = groups_[g];
            group.first = g * plan_.group_lanes;
            group.count = std::min(plan_.group_lanes, queries.rows - group.first);
            group.floors = std::make_unique<std::atomic<float>[]>(group.count);
            for (std::size_t i = 0; i < group.count; ++i) {
                group.floors[i] = -std::numeric_limits<float>::infinity();
            }
            group.found.resize(plan_.ranges);
            group.open = plan_.ranges;
        }
    }

    std::size_t tasks() const { return plan_.groups * plan_.ranges; }

    void run(std::size_t task, const TopKOut& out) {
        Group& group = groups_[task / plan_.ranges];
        const std::size_t range = task % plan_.ranges;
        auto panels = make_panels(group);
        scan(group, range, panels);
        if (group.open.fetch_sub(1, std::memory_order_acq_rel) == 1) finish(group, panels, out);
    }

private:
    std::vector<QueryPanel> make_panels(const Group& group) const {
        std::vector<QueryPanel> panels;
        for (std::size_t i = 0; i < group.count; i += plan_.panel_lanes) {
            const std::size_t lanes = std::min(plan_.panel_lanes, group.count - i);
            panels.emplace_back(rows_.codes.spec, queries_.row(group.first + i),
                                queries_.stride / sizeof(float), lanes);
        }
        return panels;
    }

    void scan(Group& group, std::size_t range, std::vector<QueryPanel>& panels) {
        std::vector<Candidates> found(group.count, Candidates(k_));
        HitBuffer hits;
        const std::size_t begin = range * plan_.range_blocks * kBlockRows;
        const std::size_t end =
            std::min(begin + plan_.range_blocks * kBlockRows, rows_.codes.count);
        // The first rows pass every threshold: small steps let floors rise early.
        std::size_t step = 32;
        for (std::size_t row = begin; row < end;) {
            checkpoint();
            const std::size_t block = row / kBlockRows;
            const std::size_t last = std::min({row + step, (block + 1) * kBlockRows, end});
            for (std::size_t p = 0; p < panels.size(); ++p) {
                // Tile loads are too scattered for the hardware to run ahead into the next block.
                if (panels.size() > 1) prefetch_slice(rows_.codes, last, p, panels.size());
                panels[p].enter_block(rows_.codes.errors[block]);
                const std::size_t n = scan_rows(rows_.codes, row, last, panels[p], hits);
                collect(group, p * plan_.panel_lanes, row, panels[p], hits, n, found);
            }
            row = last;
            step = std::min(step * 2, kBlockRows);
        }
        group.found[range] = std::move(found);
    }

    void collect(Group& group, std::size_t first_lane, std::size_t first_row, QueryPanel& panel,
                 const HitBuffer& hits, std::size_t n, std::vector<Candidates>& found) {
        for (std::size_t lane = 0; lane < panel.count(); ++lane) {
            found[first_lane + lane].reserve_more(kBlockRows);
        }
        const bool all_pass = rows_.filter == nullptr && !exclude_self_;
        for (std::size_t i = 0; i < n; ++i) {
            const auto row = static_cast<Id>(first_row + hits.pair[i] / kernels::kPanelLanes);
            const std::size_t lane = hits.pair[i] % kernels::kPanelLanes;
            const std::size_t query = first_lane + lane;
            if (!all_pass && !may_answer(group.first + query, row)) continue;
            const float upper = hits.upper[i];
            found[query].append({upper, lower_bound(upper, row, rows_.codes, panel, lane), row});
        }
        for (std::size_t lane = 0; lane < panel.count(); ++lane) {
            Candidates& mine = found[first_lane + lane];
            mine.update();
            if (mine.list().size() > kMaxHeld + 2 * k_) {
                keep_best(mine, group.first + first_lane + lane, panel, lane);
            }
            if (plan_.ranges > 1) share_floor(group.floors[first_lane + lane], mine);
            panel.set_floor(lane, mine.floor());
        }
    }

    bool may_answer(std::size_t query, Id row) const noexcept {
        return rows_.passes(row) && !(exclude_self_ && row == query);
    }

    /// Bounds cannot tell ties and near-ties apart; where very many pile up, exact keys must. What stays
    /// are the k best of them, with bounds as tight as float32 allows.
    void keep_best(Candidates& mine, std::size_t query, const QueryPanel& panel,
                   std::size_t lane) const {
        std::vector<std::pair<Ranked, Id>> exact;
        exact.reserve(mine.list().size());
        for (const Candidate& c : mine.list()) {
            exact.push_back({{scorer_.key(queries_.row(query), c.row), rows_.label(c.row)}, c.row});
        }
        const auto k = static_cast<std::ptrdiff_t>(std::min(k_, exact.size()));
        std::nth_element(exact.begin(), exact.begin() + k, exact.end(),
                         [](const auto& a, const auto& b) { return a.first < b.first; });
        std::vector<Candidate> best;
        for (auto it = exact.begin(); it != exact.begin() + k; ++it) {
            const double score = panel.in_lane_units(lane, it->first.key);
            const double slack = std::fabs(score) * 0x1p-20 + panel.key_slack(lane) + 0x1p-118;
            best.push_back(
                {static_cast<float>(score + slack), static_cast<float>(score - slack), it->second});
        }
        mine.replace(best);
    }

    static void share_floor(std::atomic<float>& shared, Candidates& mine) {
        float seen = shared.load(std::memory_order_relaxed);
        while (mine.floor() > seen &&
               !shared.compare_exchange_weak(seen, mine.floor(), std::memory_order_relaxed)) {
        }
        mine.raise(seen);
    }

    void finish(Group& group, const std::vector<QueryPanel>& panels, const TopKOut& out) {
        Recheck recheck(rows_, queries_, k_);
        for (std::size_t i = 0; i < group.count; ++i) {
            Candidates& merged = group.found[0][i];
            for (std::size_t r = 1; r < group.found.size(); ++r) {
                merged.merge(group.found[r][i]);
                group.found[r][i] = Candidates();
            }
            merged.settle();
            recheck.add(group.first + i, merged.list(), panels[i / plan_.panel_lanes],
                        i % plan_.panel_lanes);
            merged = Candidates();
            if (recheck.pending() >= kMaxPending) recheck.run(out);
        }
        recheck.run(out);
        group.found.clear();
    }

    const FlatRows& rows_;
    MatrixView<float> queries_;
    std::size_t k_;
    bool exclude_self_;
    ExactScorer scorer_;
    Plan plan_;
    std::vector<Group> groups_;
};

/// Every row scored exactly: for few rows, or when a large share of them is asked for. Few queries are
/// split by rows, so that all threads have work.
void search_all(const FlatRows& rows, MatrixView<float> queries, std::size_t k, bool exclude_self,
                int threads, const TopKOut& out) {
    const ExactScorer scorer(rows.codes.spec.metric, rows.rows, rows.norms);
    const std::size_t n = rows.codes.count;
    const auto workers = static_cast<std::size_t>(max_workers(threads));
    const std::size_t ranges = std::clamp<std::size_t>(
        ceil_div(2 * workers, queries.rows), 1, std::max<std::size_t>(1, ceil_div(n, kBlockRows)));
    const std::size_t per_range = ceil_div(n, ranges);
    const std::size_t at_once = std::max<std::size_t>(workers, 256 / ranges);
    for (std::size_t first = 0; first < queries.rows; first += at_once) {
        const std::size_t count = std::min(at_once, queries.rows - first);
        std::vector<Ranking> found(count * ranges, Ranking(k));
        parallel_for(count * ranges, threads, [&](std::size_t task, int) {
            const std::size_t query = first + task / ranges;
            const std::size_t begin = task % ranges * per_range;
            for (std::size_t row = begin; row < std::min(n, begin + per_range); ++row) {
                if (row % kBlockRows == 0) checkpoint();
                const auto id = static_cast<Id>(row);
                if (!rows.passes(id) || (exclude_self && row == query)) continue;
                found[task].offer({scorer.key(queries.row(query), id), rows.label(id)});
            }
        });
        for (std::size_t i = 0; i < count; ++i) {
            Ranking& best = found[i * ranges];
            for (std::size_t r = 1; r < ranges; ++r) {
                for (const Ranked& ranked : found[i * ranges + r].list()) best.offer(ranked);
            }
            write_row(best.sorted(), k, scorer, scorer.query_norm(queries.row(first + i)),
                      first + i, out);
        }
    }
}

}  // namespace

void flat_search(const FlatRows& rows, MatrixView<float> queries, std::size_t k, bool exclude_self,
                 int threads, const TopKOut& out) {
    if (queries.rows == 0) return;
    const std::size_t n = rows.codes.count;
    const std::size_t wanted = rows.filter != nullptr ? rows.filter->count() : n;
    // Few rows that may answer are scored outright: their floor would let nearly all others through.
    if (n < kScanRows || k > wanted / 4 || wanted < n / 128) {
        search_all(rows, queries, k, exclude_self, threads, out);
        return;
    }
    Search search(rows, queries, k, exclude_self, static_cast<std::size_t>(max_workers(threads)));
    parallel_for(search.tasks(), threads, [&](std::size_t task, int) { search.run(task, out); });
}

}  // namespace nearfield
