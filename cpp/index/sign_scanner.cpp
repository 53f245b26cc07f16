#include "index/sign_scanner.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nearfield {
namespace {

using kernels::kSignRows;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
/// What rotating in float32 rounds, as a share of |q| |x|; see estimator.cpp.
constexpr double kRotationShare = 0x1p-16;
/// What float64 keys round, as a share of a centre's; far above.
constexpr double kKeyShare = 0x1p-44;
/// What float32 ranks round; and near zero.
constexpr double kRankShare = 0x1p-20;
constexpr double kRankLeast = 0x1p-110;
/// Lengths whose squares are ranks of float32.
constexpr double kShortest = 0x1p-40;
constexpr double kLongest = 0x1p58;
/// Candidates of a query that are kept where no more can be told apart, beyond 2 k.
constexpr std::size_t kMostHeld = std::size_t{1} << 14;
/// Rows fetched ahead of exact scoring.
constexpr std::size_t kAhead = 8;

struct Hits {
    float upper[kBlockRows + kSignRows + kernels::kSignSlack];
    std::uint32_t row[kBlockRows + kSignRows + kernels::kSignSlack];
};

/// The n most promising first, in no order.
void choose(std::vector<Candidate>& open, std::size_t n, const StoredRows& rows) {
    if (open.size() <= n) return;
    std::nth_element(open.begin(), open.begin() + static_cast<std::ptrdiff_t>(n), open.end(),
                     [&rows](const Candidate& a, const Candidate& b) {
                         if (a.upper != b.upper) return a.upper > b.upper;
                         return rows.label(a.row) < rows.label(b.row);
                     });
}

}  // namespace

SignScanner::SignScanner(const ListTask& task)
    : task_(task),
      coded_(*task.rows.coded),
      coding_(*coded_.sign_coding),
      scorer_(task.rows.scorer()),
      l2_(task.rows.codes.spec.metric == Metric::kL2),
      certain_(std::isinf(task.epsilon)),
      starts_(task.settles),
      longest_row_(coded_.max_norm),
      longest_(std::max(coded_.max_norm, coding_.longest())) {
    // Queries of inner products as long as rows: a query far shorter or longer than a centre gains nothing
    // from being near it. A power of two.
    const double length = longest_row_ > 0.0 ? std::ldexp(1.0, std::ilogb(longest_row_)) : 1.0;
    // SignQuery takes zero for certain.
    const double sigmas = certain_ ? 0.0 : std::max(task.epsilon, 0x1p-40);
    for (std::size_t i = 0; i < task.queries.rows; ++i) {
        const float* q = task.queries.row(i);
        const double norm = norm_of(q, task.queries.cols);
        const double factor = l2_ || !(norm > 0.0) ? 1.0 : length / norm;
        const double reach = l2_ ? std::max(norm, longest_row_) : longest_row_;
        Query query{{}, l2_ ? 0.5 : factor, norm * factor, kShortest <= reach && reach <= kLongest};
        if (query.ranks) {
            const RotatedQuery rotated(coding_.codec(), q, nullptr);
            query.signs = SignQuery(coding_.codec(), rotated, 0.0, sigmas, factor);
        }
        queries_.push_back(std::move(query));
    }
}

void SignScanner::scan(std::size_t list, std::span<const std::uint32_t> members) {
    for (const std::uint32_t member : members) scan_list(list, member);
}

void SignScanner::scan_list(std::size_t list, std::uint32_t member) {
    Query& query = queries_[member];
    const std::size_t centre = coding_.lists() > 1 ? list : 0;
    const double key = coding_.key(task_.queries.row(member), centre);
    const double rank = key * query.scale;
    const double squared =
        l2_ ? -key : query.length * query.length - 2.0 * rank + coding_.squared(centre);
    // Differences of squares lose about half of their digits where centre and query are one.
    query.signs.set_distance(std::sqrt(std::max(squared, 0.0)) + 0x1p-24 * query.length);
    const double slack =
        kRotationShare * query.length * longest_row_ + kKeyShare * std::fabs(rank) + kRankLeast;
    const Visit visit{query, task_.lane(member), rank, slack};
    if (!starts_) task_.share_floor(member);
    task_.for_each_piece(list, !task_.has_floor(member), [&](std::size_t first, std::size_t last) {
        scan_piece(visit, first, last);
        hold_less(member);
        if (!starts_) task_.share_floor(member);
    });
}

void SignScanner::scan_piece(const Visit& visit, std::size_t first, std::size_t last) const {
    if (!visit.query.ranks) {
        for (std::size_t row = first; row < last; ++row) {
            const auto id = static_cast<Id>(row);
            if (!task_.collector.may_answer(visit.lane.query, id)) continue;
            visit.lane.found->append({kInfinity, -kInfinity, id}, task_.keep);
        }
        return;
    }
    const std::size_t whole = std::clamp(coded_.signs.count, first, last);
    if (whole > first) scan_blocks(visit, coded_.signs, 0, first, whole);
    if (last > whole) {
        const std::size_t base = coded_.signs.count;
        scan_blocks(visit, coded_.sign_tail, base, whole - base, last - base);
    }
}

/// Rows [first, last) of a view whose row 0 is row `base` of the store.
void SignScanner::scan_blocks(const Visit& visit, const SignView& view, std::size_t base,
                              std::size_t first, std::size_t last) const {
    thread_local Hits memory;
    Hits& hits = memory;
    Candidates& found = *visit.lane.found;
    const SignQuery& signs = visit.query.signs;
    const std::size_t start = first / kSignRows * kSignRows;
    const auto floor = static_cast<double>(found.floor());
    const double threshold = floor - visit.offset - visit.slack -
                             (std::fabs(floor) + std::fabs(visit.offset)) * kRankShare;
    const std::size_t n = view.scan(signs, start, last - start, static_cast<float>(threshold),
                                    {hits.upper, hits.row});
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t at = start + hits.row[i];
        if (at < first) continue;
        const auto row = static_cast<Id>(base + at);
        if (!task_.collector.may_answer(visit.lane.query, row)) continue;
        const double rank = static_cast<double>(hits.upper[i]) + visit.offset;
        const double rounding = visit.slack + std::fabs(rank) * kRankShare;
        const double width = signs.width(view.scale[at], view.error[at]) +
                             2.0 * SignQuery::rounding(longest_, view.error[at]);
        const Candidate candidate = bounded(rank + rounding, rank - width - 2.0 * rounding, row);
        if (!(candidate.upper < found.floor())) found.append(candidate, task_.keep);
    }
}

/// Brings the floor up to date, and sees to it that candidates do not pile up.
void SignScanner::hold_less(std::uint32_t member) const {
    const Lane lane = task_.lane(member);
    if (certain_ || !queries_[member].ranks) {
        task_.collector.settle(lane, units(member), task_.keep);
        return;
    }
    lane.found->update(task_.keep);
    if (lane.found->list().size() > 2 * (kMostHeld + 2 * task_.keep)) {
        conclude(member, *lane.found);
    }
}

void SignScanner::conclude(std::size_t member, Candidates& found) const {
    found.trim();
    const std::size_t most = kMostHeld + 2 * task_.keep;
    if (certain_ || !queries_[member].ranks || found.list().size() <= most) return;
    std::vector<Candidate> open(found.list().begin(), found.list().end());
    choose(open, most, task_.rows);
    open.resize(most);
    found.replace(open);
}

void SignScanner::settle() {
    for (std::size_t i = 0; i < queries_.size(); ++i) settle(static_cast<std::uint32_t>(i));
    starts_ = false;
}

/// The k most promising candidates get bounds as tight as float32 allows.
void SignScanner::settle(std::uint32_t member) {
    if (!queries_[member].ranks) return;
    checkpoint();
    Candidates& found = task_.found[member];
    found.trim();
    thread_local std::vector<Candidate> memory;
    std::vector<Candidate>& open = memory;
    open.assign(found.list().begin(), found.list().end());
    choose(open, task_.keep, task_.rows);
    const std::size_t n = std::min(task_.keep, open.size());
    for (std::size_t i = 0; i < std::min(n, kAhead); ++i) scorer_.prefetch(open[i].row);
    for (std::size_t i = 0; i < n; ++i) {
        if (i % 256 == 255) checkpoint();
        if (i + kAhead < n) scorer_.prefetch(open[i + kAhead].row);
        const double rank = units(member).of(scorer_.key(task_.queries.row(member), open[i].row));
        const double slack = std::fabs(rank) * kRankShare + kRankLeast;
        open[i] = bounded(rank + slack, rank - slack, open[i].row);
    }
    // The floor as well: scores may be below bounds that were not certain.
    found = Candidates(task_.keep);
    for (const Candidate& c : open) found.append(c, task_.keep);
    found.trim();
}

}  // namespace nearfield
