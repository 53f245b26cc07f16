#include "index/collector.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "index/ranking.h"

namespace nearfield {

std::uint64_t Collector::collect(QueryPanel& panel, std::span<const Lane> lanes,
                                 const Stretch& rows, std::size_t rank) const {
    thread_local HitBuffer hits;
    panel.enter_block(rows.codes.error_of(rows.first, rows.last));
    const std::size_t n = scan_rows(rows.codes, rows.first, rows.last, panel, hits);
    const bool all_pass = rows_.filter == nullptr && selves_.empty();
    std::uint64_t touched = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const auto coded = static_cast<Id>(rows.first + hits.pair[i] / kernels::kPanelLanes);
        const auto row = static_cast<Id>(rows.base + coded);
        const std::size_t number = hits.pair[i] % kernels::kPanelLanes;
        const Lane& lane = lanes[number];
        if (!all_pass && !may_answer(lane.query, row)) continue;
        const float upper = hits.upper[i];
        lane.found->append({upper, lower_bound(upper, coded, rows.codes, panel, number), row},
                           rank);
        touched |= std::uint64_t{1} << number;
    }
    return touched;
}

/// Bounds cannot tell ties and near-ties apart; where very many pile up, exact keys must. What stays
/// are the k best of them, with bounds as tight as float32 allows.
void Collector::keep_best(const Lane& lane, const KeyUnits& units) const {
    std::vector<std::pair<Ranked, Id>> exact;
    exact.reserve(lane.found->list().size());
    for (const Candidate& c : lane.found->list()) {
        exact.push_back(
            {{scorer_.key(queries_.row(lane.query), c.row), rows_.label(c.row)}, c.row});
    }
    const auto k = static_cast<std::ptrdiff_t>(std::min(k_, exact.size()));
    std::nth_element(exact.begin(), exact.begin() + k, exact.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<Candidate> best;
    for (auto it = exact.begin(); it != exact.begin() + k; ++it) {
        const double score = units.of(it->first.key);
        const double slack = std::fabs(score) * 0x1p-20 + units.slack + 0x1p-118;
        best.push_back(
            {static_cast<float>(score + slack), static_cast<float>(score - slack), it->second});
    }
    lane.found->replace(best);
}

}  // namespace nearfield
