#include "index/score_scanner.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/raw/exact.h"

namespace nearfield {

ScoreScanner::ScoreScanner(const ListTask& task) : task_(task) {
    const CodedRows& coded = *task.rows.coded;
    const auto dim = static_cast<double>(coded.rows.dim());
    const bool l2 = task.rows.codes.spec.metric == Metric::kL2;
    const double longest =
        l2 && task.rows.is_folded ? std::max(coded.longest, coded.max_norm) : coded.max_norm;
    for (std::size_t i = 0; i < task.queries.rows; ++i) {
        const float* q = task.queries.row(i);
        const double norm = norm_of(q, task.queries.cols);
        // A decoded residual is no longer than the row and its centre together.
        const double terms = norm * (coded.max_norm + 2.0 * coded.max_centre);
        const double rounding = l2 ? longest * longest * 0x1p-22 : 0.0;
        queries_.push_back(
            {coded.rows.quantizer().make_rotated_scorer(Metric::kIp, q),
             static_cast<float>((dim + 64.0) * 0x1p-22 * terms + rounding + 0x1p-118),
             norm * norm});
    }
}

KeyUnits ScoreScanner::units(std::size_t member) const {
    // Keys of folded queries say nothing of |q|.
    const double squared = task_.rows.is_folded ? 0.0 : queries_[member].squared_norm;
    // Float64 keys of l2 cancel against |q|^2.
    return task_.rows.codes.spec.metric == Metric::kL2
               ? KeyUnits{0.5, 0.5 * squared, 1e-12 * squared}
               : KeyUnits{1.0, 0.0, 0.0};
}

void ScoreScanner::scan(std::size_t list, std::span<const std::uint32_t> members) {
    for (const std::uint32_t member : members) scan(list, member);
}

void ScoreScanner::scan(std::size_t list, std::uint32_t member) {
    const Query& query = queries_[member];
    const Lane lane = task_.lane(member);
    const auto runs = task_.lists.runs(list);
    if (runs.empty()) return;
    const float* centre = task_.rows.coded->rows.centre(runs[0].first);
    const double shift = centre != nullptr ? kernels::active().ip_f32(task_.queries.row(member),
                                                                      centre, task_.queries.cols)
                                           : 0.0;
    task_.share_floor(member);
    task_.for_each_piece(list, !task_.has_floor(member), [&](std::size_t first, std::size_t last) {
        collect(lane, query, static_cast<float>(shift), first, last);
        task_.collector.settle(lane, units(member), task_.keep);
        task_.share_floor(member);
    });
}

void ScoreScanner::collect(const Lane& lane, const Query& query, float shift, std::size_t first,
                           std::size_t last) const {
    const CodedRows& coded = *task_.rows.coded;
    float scores[kBlockRows];
    query.scorer->scores(coded.rows.code(first), last - first, scores);
    const Metric metric = task_.rows.codes.spec.metric;
    const float* bias = metric == Metric::kL2 ? coded.bias + first : nullptr;
    // Under cosine a map makes a row longer or shorter.
    const bool is_rescaled = metric == Metric::kCosine && task_.rows.is_reweighted();
    for (std::size_t i = 0; i < last - first; ++i) {
        float score = scores[i] + shift + (bias != nullptr ? bias[i] : 0.0f);
        float slack = query.slack;
        if (is_rescaled) {
            const double norm = coded.norms[first + i];
            const auto factor = norm > 0.0 ? static_cast<float>(1.0 / norm) : 0.0f;
            score *= factor;
            slack *= factor;
        }
        const float upper = score + slack;
        // Minus infinity has overflowed: -|x|^2 / 2 alone may be beyond float32, the sum not.
        if (upper < lane.found->floor() && upper >= std::numeric_limits<float>::lowest()) continue;
        const auto row = static_cast<Id>(first + i);
        if (!task_.collector.may_answer(lane.query, row)) continue;
        const float lower = score - slack;
        lane.found->append(bounded(upper, lower, row), task_.keep);
    }
}

}  // namespace nearfield
