#include "index/flat/search.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>

#include "base/parallel.h"
#include "index/flat/recheck.h"
#include "quant/raw/query.h"
#include "quant/raw/scan.h"
#include "select/candidates.h"

namespace nearfield {
namespace {

constexpr std::size_t kPanelsPerGroup = 8;
/// A range of rows worth a task of its own.
constexpr std::size_t kMinBlocksPerRange = 16;
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

    Plan(std::size_t queries, std::size_t rows, std::size_t threads) {
        const std::size_t blocks = ceil_div(rows, kBlockRows);
        const std::size_t panels = ceil_div(queries, kernels::kPanelLanes);
        // Even panels: 65 queries run as 48 + 17, not as 64 + 1.
        panel_lanes =
            std::min(round_up(ceil_div(queries, panels), kernels::kGroup), kernels::kPanelLanes);
        groups = ceil_div(panels, kPanelsPerGroup);
        if (groups > 1 && groups < 4 * threads)
            groups = std::min(panels, round_up(groups, threads));
        group_lanes = ceil_div(ceil_div(queries, panel_lanes), groups) * panel_lanes;
        groups = ceil_div(queries, group_lanes);
        ranges = groups >= 2 * threads ? 1
                                       : std::clamp<std::size_t>(
                                             ceil_div(4 * threads, groups), 1,
                                             std::max<std::size_t>(1, blocks / kMinBlocksPerRange));
        if (threads == 1) ranges = 1;
        range_blocks = ceil_div(blocks, ranges);
        ranges = std::max<std::size_t>(1, ceil_div(blocks, range_blocks));
    }
};

/// One group of queries: its floors are shared by the ranges, its candidates merged at the end.
struct Group {
    std::size_t first = 0;
    std::size_t count = 0;
    std::unique_ptr<std::atomic<float>[]> floors;
    std::vector<std::vector<Candidates>> found;       // per range, per query
    std::vector<std::unique_ptr<QueryPanel>> panels;  // of the range that merges
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
          plan_(queries.rows, rows.codes.count, threads),
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
        HitBuffer hits = make_hit_buffer();
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
                panels[p].enter_block(rows_.codes.errors[block]);
                const std::size_t n = scan_rows(rows_.codes, row, last, panels[p], hits);
                collect(group, p * plan_.panel_lanes, row, panels[p], hits.data(), n, found);
            }
            row = last;
            step = std::min(step * 2, kBlockRows);
        }
        group.found[range] = std::move(found);
    }

    void collect(Group& group, std::size_t first_lane, std::size_t first_row, QueryPanel& panel,
                 const kernels::PanelHit* hits, std::size_t n, std::vector<Candidates>& found) {
        for (std::size_t i = 0; i < n; ++i) {
            const auto row = static_cast<Id>(first_row + hits[i].row);
            const std::size_t lane = first_lane + hits[i].lane;
            if (!rows_.passes(row)) continue;
            if (exclude_self_ && row == group.first + lane) continue;
            const float upper = hits[i].upper;
            if (!found[lane].push({upper, lower_bound(upper, row, panel, hits[i].lane), row})) {
                continue;
            }
            share_floor(group.floors[lane], found[lane]);
            panel.set_floor(hits[i].lane, found[lane].floor());
        }
    }

    float lower_bound(float upper, Id row, const QueryPanel& panel, std::size_t lane) const {
        const CodeView& codes = rows_.codes;
        float slack = std::fabs(upper);
        if (codes.bias != nullptr) slack += std::fabs(codes.bias[row]) * panel.tilt()[lane];
        return upper - panel.width(lane) * codes.scale[row] - slack * 0x1p-18f - 0x1p-118f;
    }

    static void share_floor(std::atomic<float>& shared, Candidates& mine) {
        float seen = shared.load(std::memory_order_relaxed);
        while (mine.floor() > seen &&
               !shared.compare_exchange_weak(seen, mine.floor(), std::memory_order_relaxed)) {
        }
        mine.raise(seen);
    }

    void finish(Group& group, const std::vector<QueryPanel>& panels, const TopKOut& out) {
        Rechecker recheck(rows_, k_);
        for (std::size_t i = 0; i < group.count; ++i) {
            if (i % 16 == 0) checkpoint();
            Candidates& merged = group.found[0][i];
            for (std::size_t r = 1; r < group.found.size(); ++r) {
                Candidates& other = group.found[r][i];
                merged.raise(other.floor());
                merged.list().insert(merged.list().end(), other.list().begin(), other.list().end());
            }
            merged.shrink();
            const QueryPanel& panel = panels[i / plan_.panel_lanes];
            recheck.top_k(queries_.row(group.first + i), merged.list(), panel,
                          i % plan_.panel_lanes);
            recheck.write(group.first + i, out);
        }
        group.found.clear();
    }

    const FlatRows& rows_;
    MatrixView<float> queries_;
    std::size_t k_;
    bool exclude_self_;
    Plan plan_;
    std::vector<Group> groups_;
};

/// Every row scored exactly: for few rows, or when most of them are asked for.
void search_all(const FlatRows& rows, MatrixView<float> queries, std::size_t k, bool exclude_self,
                int threads, const TopKOut& out) {
    std::vector<Rechecker> recheck(static_cast<std::size_t>(max_workers(threads)),
                                   Rechecker(rows, k));
    parallel_for(queries.rows, threads, [&](std::size_t i, int worker) {
        Rechecker& mine = recheck[static_cast<std::size_t>(worker)];
        mine.all(queries.row(i), exclude_self ? static_cast<Id>(i) : kNoRow);
        mine.write(i, out);
    });
}

}  // namespace

void flat_search(const FlatRows& rows, MatrixView<float> queries, std::size_t k, bool exclude_self,
                 int threads, const TopKOut& out) {
    if (queries.rows == 0) return;
    const std::size_t n = rows.codes.count;
    if (n < kScanRows || k > n / 4) {
        search_all(rows, queries, k, exclude_self, threads, out);
        return;
    }
    Search search(rows, queries, k, exclude_self, static_cast<std::size_t>(max_workers(threads)));
    parallel_for(search.tasks(), threads, [&](std::size_t task, int) { search.run(task, out); });
}

}  // namespace nearfield
