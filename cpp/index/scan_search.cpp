#include "index/scan_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/interrupt.h"
#include "index/ranking.h"
#include "index/recheck.h"

namespace nearfield {
namespace {

/// Candidates re-checked together: enough to share rows, few enough to stay small.
constexpr std::size_t kMaxPending = std::size_t{1} << 20;
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

ScanSearch::ScanSearch(const StoredRows& rows, const ScanBatch& batch, std::size_t k,
                       std::size_t threads)
    : rows_(rows),
      batch_(batch),
      k_(k),
      collector_(rows, batch.queries, batch.selves, k),
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
    std::vector<Lane> lanes;
    for (std::size_t i = 0; i < group.count; ++i) lanes.push_back({group.first + i, &found[i]});
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
            scan_piece(group, {row, last, next, rank_after(seen)}, panels, lanes);
            row = last;
            step = std::min(step * 2, kBlockRows);
        }
    }
    group.found[range] = std::move(found);
}

void ScanSearch::scan_piece(Group& group, const Piece& piece, std::vector<QueryPanel>& panels,
                            std::span<const Lane> lanes) {
    const auto share = [&](const Lane& lane) {
        if (plan_.ranges > 1) share_floor(group.floors[lane.query - group.first], *lane.found);
    };
    for (std::size_t p = 0; p < panels.size(); ++p) {
        QueryPanel& panel = panels[p];
        // Tile loads are too scattered for the hardware to run ahead into the next block.
        if (panels.size() > 1) prefetch_slice(rows_.codes, piece.next, p, panels.size());
        collector_.scan(panel, lanes.subspan(p * plan_.panel_lanes, panel.count()), piece.first,
                        piece.last, piece.rank, share);
    }
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
            recheck.add(group.first + i, merged.list(),
                        panels[i / plan_.panel_lanes].units(i % plan_.panel_lanes));
        }
        merged = Candidates(k_);
        if (recheck.pending() >= kMaxPending) recheck.run(out);
    }
    recheck.run(out);
    group.found.clear();
}

}  // namespace nearfield
