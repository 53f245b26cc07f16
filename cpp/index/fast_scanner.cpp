#include "index/fast_scanner.h"

#include <algorithm>
#include <cmath>

#include "quant/raw/exact.h"

namespace nearfield {
namespace {

constexpr std::size_t kMostEqual = 8192;

}  // namespace

FastScanner::FastScanner(const ListTask& task)
    : task_(task),
      coded_(*task.rows.coded),
      l2_(task.rows.codes.spec.metric == Metric::kL2),
      estimates_(proposes_by_estimate(task.rows)),
      pass_(coded_.rows.quantizer().scan_numbers()) {
    const auto dim = static_cast<double>(coded_.rows.dim());
    const bool one_table = !l2_ || coded_.max_centre == 0.0;
    for (std::size_t i = 0; i < task.queries.rows; ++i) {
        const float* q = task.queries.row(i);
        const double norm = norm_of(q, task.queries.cols);
        const double reach = coded_.max_norm + 2.0 * coded_.max_centre;
        // Float32 sums, as in ScoreScanner; those of l2 are of squares of differences.
        const double terms = l2_ ? (norm + reach) * (norm + reach) : norm * reach;
        queries_.push_back({std::nullopt, (dim + 64.0) * 0x1p-22 * terms + 0x1p-118, norm * norm});
        if (one_table) {
            queries_.back().table.emplace(coded_.rows.quantizer(), l2_ ? Metric::kL2 : Metric::kIp,
                                          q);
        }
    }
}

KeyUnits FastScanner::units(std::size_t member) const {
    // Float64 keys of l2 cancel against |q|^2.
    return {1.0, 0.0, l2_ ? 1e-12 * queries_[member].squared_norm : 0.0};
}

void FastScanner::scan(std::size_t list, std::span<const std::uint32_t> members) {
    for (std::size_t m = 0; m < members.size(); m += FastPass::kQueries) {
        scan_pass(list, members.subspan(m, std::min(FastPass::kQueries, members.size() - m)));
    }
}

std::span<const FastScanner::Asked> FastScanner::ask(std::span<const std::uint32_t> members,
                                                     const float* centre) {
    std::vector<Asked>& asked = asked_;
    std::vector<float>& about = about_;
    asked.clear();
    for (std::size_t i = 0; i < members.size(); ++i) {
        const float* q = task_.queries.row(members[i]);
        const Query& query = queries_[members[i]];
        if (query.table) {
            const double shift =
                centre != nullptr && !l2_ ? dot(q, centre, task_.queries.cols) : 0.0;
            pass_.set(i, *query.table);
            asked.push_back({members[i], shift, query.table->scale()});
            continue;
        }
        about.assign(q, q + task_.queries.cols);
        for (std::size_t k = 0; k < about.size(); ++k) about[k] -= centre[k];
        const FastTable table(coded_.rows.quantizer(), Metric::kL2, about.data());
        pass_.set(i, table);
        asked.push_back({members[i], 0.0, table.scale()});
    }
    return asked;
}

void FastScanner::scan_pass(std::size_t list, std::span<const std::uint32_t> members) {
    const auto runs = task_.lists.runs(list);
    if (runs.empty()) return;
    const auto asked = ask(members, coded_.rows.centre(runs[0].first));
    bool floors = true;
    for (const Asked& a : asked) {
        task_.share_floor(a.member);
        floors = floors && task_.has_floor(a.member);
    }
    task_.for_each_piece(list, !floors, [&](std::size_t first, std::size_t last) {
        const std::size_t whole = std::clamp(coded_.packed_rows, first, last);
        if (whole > first) scan_blocks(asked, first, whole);
        if (last > whole) score_tail(asked, whole, last);
        settle(asked);
    });
}

std::uint32_t FastScanner::threshold(const Asked& asked) const noexcept {
    const double floor = static_cast<double>(task_.found[asked.member].floor());
    if (std::isinf(floor)) return 0;
    // Estimates are compared as float32.
    if (estimates_) {
        const double slack = std::fabs(floor) * 0x1p-23 + 0x1p-118;
        return asked.scale.estimate_threshold(floor - asked.shift - slack);
    }
    return asked.scale.threshold(floor - asked.shift - queries_[asked.member].slack);
}

Candidate FastScanner::candidate(const Asked& asked, std::uint32_t sum, Id row) const noexcept {
    if (estimates_) {
        const double estimate = asked.scale.estimate(sum) + asked.shift;
        return bounded(estimate, estimate, row);
    }
    const double slack = queries_[asked.member].slack;
    return bounded(asked.scale.upper(sum) + asked.shift + slack,
                   asked.scale.lower(sum) + asked.shift - slack, row);
}

void FastScanner::scan_blocks(std::span<const Asked> asked, std::size_t first, std::size_t last) {
    const std::size_t begin = first / kScanBlock * kScanBlock;
    std::uint32_t thresholds[FastPass::kQueries];
    for (std::size_t i = 0; i < asked.size(); ++i) thresholds[i] = threshold(asked[i]);
    pass_.scan(coded_.packed, begin, last - begin, {thresholds, asked.size()});
    for (std::size_t i = 0; i < asked.size(); ++i) {
        const Lane lane = task_.lane(asked[i].member);
        for (std::size_t h = 0; h < pass_.found(i); ++h) {
            const std::size_t row = begin + pass_.row(i, h);
            if (row < first || row >= last) continue;
            const auto id = static_cast<Id>(row);
            if (!task_.collector.may_answer(lane.query, id)) continue;
            lane.found->append(candidate(asked[i], pass_.sum(i, h), id), task_.keep);
        }
    }
}

void FastScanner::score_tail(std::span<const Asked> asked, std::size_t first, std::size_t last) {
    for (std::size_t i = 0; i < asked.size(); ++i) {
        const Lane lane = task_.lane(asked[i].member);
        for (std::size_t row = first; row < last; ++row) {
            const auto id = static_cast<Id>(row);
            if (!task_.collector.may_answer(lane.query, id)) continue;
            lane.found->append(candidate(asked[i], pass_.sum_of(i, coded_.rows.code(row)), id),
                               task_.keep);
        }
    }
}

void FastScanner::settle(std::span<const Asked> asked) {
    for (const Asked& a : asked) {
        if (estimates_) {
            task_.found[a.member].update(task_.keep);
            thin(task_.found[a.member]);
        } else {
            task_.collector.settle(task_.lane(a.member), units(a.member), task_.keep);
        }
        task_.share_floor(a.member);
    }
}

/// Equal estimates that pile up: those of the smallest labels stay.
void FastScanner::thin(Candidates& found) const {
    if (found.list().size() <= kMostEqual + 2 * task_.keep) return;
    std::vector<Candidate> best(found.list().begin(), found.list().end());
    std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(task_.keep),
                     best.end(), [this](const Candidate& a, const Candidate& b) {
                         if (a.upper != b.upper) return a.upper > b.upper;
                         return task_.rows.label(a.row) < task_.rows.label(b.row);
                     });
    best.resize(task_.keep);
    found.replace(best);
}

}  // namespace nearfield
