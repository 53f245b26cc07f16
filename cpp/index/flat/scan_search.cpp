#include "index/flat/scan_search.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "base/interrupt.h"
#include "index/flat/ranking.h"
#include "index/flat/recheck.h"

namespace nearfield {
namespace {

/// Candidates re-checked together: enough to share rows, few enough to stay small.
constexpr std::size_t kMaxPending = std::size_t{1} << 20;
/// Candidates of one query, beyond 2 k, above which exact keys thin them out.
constexpr std::size_t kMaxHeld = 8192;
/// The first rows pass every threshold: small pieces let floors rise early.
constexpr std::size_t kFirstPiece = 32;
/// Standard deviations that guessed floors allow for: fewer save hits and cost scans that are repeated.
constexpr double kDeviations = 3.0;

void share_floor(std::atomic<float>& shared, Candidates& mine) {
    float seen = shared.load(std::memory_order_relaxed);
    while (mine.floor() > seen &&
           !shared.compare_exchange_weak(seen, mine.floor(), std::memory_order_relaxed)) {
    }
    mine.raise(seen);
}

}  // namespace

ScanSearch::ScanSearch(const FlatRows& rows, const ScanBatch& batch, std::size_t k,
                       std::size_t threads)
    : rows_(rows),
      batch_(batch),
      k_(k),
      scorer_(rows.codes.spec.metric, rows.rows, rows.norms),
      plan_(batch.queries.rows, rows.codes.count, code_depth(rows.codes.spec), threads,
            batch.guess()),
      groups_(plan_.groups) {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
        Group& group = groups_[g];
        group.first = g * plan_.group_lanes;
        group.count = std::min(plan_.group_lanes, batch.queries.rows - group.first);
        group.floors = std::make_unique<std::atomic<float>[]>(group.count);
        for (std::size_t i = 0; i < group.count; ++i) {
            group.floors[i] = batch.guess() ? -std::numeric_limits<float>::infinity()
                                            : batch.floors[group.first + i];
        }
        group.found.resize(plan_.ranges);
        group.open = plan_.ranges;
    }
}

void ScanSearch::run(std::size_t task, const TopKOut& out) {
    Group& group = groups_[task / plan_.ranges];
    auto panels = make_panels(group);
    scan(group, task % plan_.ranges, panels);
    if (group.open.fetch_sub(1, std::memory_order_acq_rel) == 1) finish(group, panels, out);
}

std::vector<QueryPanel> ScanSearch::make_panels(const Group& group) const {
    std::vector<QueryPanel> panels;
    for (std::size_t i = 0; i < group.count; i += plan_.panel_lanes) {
        const std::size_t lanes = std::min(plan_.panel_lanes, group.count - i);
        panels.emplace_back(rows_.codes.spec, batch_.queries.row(group.first + i),
                            batch_.queries.stride / sizeof(float), lanes);
    }
    return panels;
}

/// The rank whose lower bound is the floor once `seen` rows of a range have been scanned.
std::size_t ScanSearch::rank_after(std::size_t seen) const noexcept {
    if (!batch_.guess()) return k_;
    const double share = static_cast<double>(k_) * static_cast<double>(seen) /
                         static_cast<double>(rows_.codes.count);
    return std::min(k_, static_cast<std::size_t>(share + kDeviations * std::sqrt(share)) + 3);
}

std::vector<Candidates> ScanSearch::start(const Group& group,
                                          std::vector<QueryPanel>& panels) const {
    std::vector<Candidates> found;
    found.reserve(group.count);
    for (std::size_t i = 0; i < group.count; ++i) {
        found.emplace_back(k_);
        found[i].raise(group.floors[i].load(std::memory_order_relaxed));
        panels[i / plan_.panel_lanes].set_floor(i % plan_.panel_lanes, found[i].floor());
    }
    return found;
}

void ScanSearch::scan(Group& group, std::size_t range, std::vector<QueryPanel>& panels) {
    std::vector<Candidates> found = start(group, panels);
    const std::size_t begin = range * plan_.range_blocks;
    const std::size_t end = std::min(begin + plan_.range_blocks, plan_.blocks);
    std::size_t step = kFirstPiece;
    std::size_t seen = 0;
    for (std::size_t position = begin; position < end; ++position) {
        std::size_t row = plan_.block(position) * kBlockRows;
        const std::size_t block_end = std::min(row + kBlockRows, rows_.codes.count);
        while (row < block_end) {
            checkpoint();
            const std::size_t last = std::min(row + step, block_end);
            const std::size_t next =
                last < block_end ? last : plan_.block(position + 1) * kBlockRows;
            seen += last - row;
            scan_piece(group, {row, last, next, rank_after(seen)}, panels, found);
            row = last;
            step = std::min(step * 2, kBlockRows);
        }
    }
    group.found[range] = std::move(found);
}

void ScanSearch::scan_piece(Group& group, const Piece& piece, std::vector<QueryPanel>& panels,
                            std::vector<Candidates>& found) {
    thread_local HitBuffer hits;
    for (std::size_t p = 0; p < panels.size(); ++p) {
        QueryPanel& panel = panels[p];
        const std::size_t first_lane = p * plan_.panel_lanes;
        // Tile loads are too scattered for the hardware to run ahead into the next block.
        if (panels.size() > 1) prefetch_slice(rows_.codes, piece.next, p, panels.size());
        panel.enter_block(rows_.codes.errors[piece.first / kBlockRows]);
        const std::size_t n = scan_rows(rows_.codes, piece.first, piece.last, panel, hits);
        const std::uint64_t lanes =
            collect(group.first + first_lane, piece, panel, hits, n, found.data() + first_lane);
        raise_floors(group, first_lane, piece.rank, lanes, panel, found.data() + first_lane);
    }
}

/// Appends hits to the candidates of their lanes; returns the lanes that have got any.
std::uint64_t ScanSearch::collect(std::size_t first_query, const Piece& piece,
                                  const QueryPanel& panel, const HitBuffer& hits, std::size_t n,
                                  Candidates* found) const {
    const bool all_pass = rows_.filter == nullptr && batch_.selves.empty();
    std::uint64_t lanes = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const auto row = static_cast<Id>(piece.first + hits.pair[i] / kernels::kPanelLanes);
        const std::size_t lane = hits.pair[i] % kernels::kPanelLanes;
        if (!all_pass && !may_answer(first_query + lane, row)) continue;
        const float upper = hits.upper[i];
        found[lane].append({upper, lower_bound(upper, row, rows_.codes, panel, lane), row},
                           piece.rank);
        lanes |= std::uint64_t{1} << lane;
    }
    return lanes;
}

void ScanSearch::raise_floors(Group& group, std::size_t first_lane, std::size_t rank,
                              std::uint64_t lanes, QueryPanel& panel, Candidates* found) const {
    for (; lanes != 0; lanes &= lanes - 1) {
        const auto lane = static_cast<std::size_t>(std::countr_zero(lanes));
        Candidates& mine = found[lane];
        mine.update(rank);
        if (mine.list().size() > kMaxHeld + 2 * k_) {
            keep_best(mine, group.first + first_lane + lane, panel, lane);
        }
        if (plan_.ranges > 1) share_floor(group.floors[first_lane + lane], mine);
        panel.set_floor(lane, mine.floor());
    }
}

/// Bounds cannot tell ties and near-ties apart; where very many pile up, exact keys must. What stays
/// are the k best of them, with bounds as tight as float32 allows.
void ScanSearch::keep_best(Candidates& mine, std::size_t query, const QueryPanel& panel,
                           std::size_t lane) const {
    std::vector<std::pair<Ranked, Id>> exact;
    exact.reserve(mine.list().size());
    for (const Candidate& c : mine.list()) {
        exact.push_back(
            {{scorer_.key(batch_.queries.row(query), c.row), rows_.label(c.row)}, c.row});
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

void ScanSearch::finish(Group& group, const std::vector<QueryPanel>& panels, const TopKOut& out) {
    Recheck recheck(rows_, batch_.queries, k_);
    for (std::size_t i = 0; i < group.count; ++i) {
        Candidates& merged = group.found[0][i];
        for (std::size_t r = 1; r < group.found.size(); ++r) {
            merged.merge(group.found[r][i]);
            group.found[r][i] = Candidates(k_);
        }
        const float certain = merged.trim();
        if (batch_.guess() && certain < merged.floor()) {
            const std::lock_guard lock(mutex_);
            wrong_guesses_.push_back({group.first + i, certain});
        } else {
            recheck.add(group.first + i, merged.list(), panels[i / plan_.panel_lanes],
                        i % plan_.panel_lanes);
        }
        merged = Candidates(k_);
        if (recheck.pending() >= kMaxPending) recheck.run(out);
    }
    recheck.run(out);
    group.found.clear();
}

}  // namespace nearfield
