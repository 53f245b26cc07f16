#include "index/list_search.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/parallel.h"
#include "index/recheck.h"

namespace nearfield {
namespace {

/// Queries of a group: enough to fill panels, few enough that their candidates stay in cache.
constexpr std::size_t kMaxGroup = 4096;
constexpr std::size_t kMinGroup = 512;
/// Bytes of codes that a thread of its own is worth.
constexpr std::size_t kBytesPerShare = std::size_t{1} << 20;
/// The same of sign planes, whose bytes take longer.
constexpr std::size_t kSignBytesPerShare = std::size_t{1} << 18;
/// Coded rows that fewer queries than this meet, on average, are scored for each of them; a group's tables
/// then take 32 times up to a few hundred KiB.
constexpr std::size_t kFewSharers = 8;
constexpr std::size_t kOneByOneGroup = 32;
/// Tables of signs of a group: they stay in L2.
constexpr std::size_t kSignTables = std::size_t{768} << 10;
/// Probes of the first round.
constexpr std::size_t kFirstProbes = 1;
/// Candidates re-checked together.
constexpr std::size_t kMaxPending = std::size_t{1} << 20;

constexpr float kNoFloor = -std::numeric_limits<float>::infinity();

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Into how many shares the probes of one group are cut, so that all threads have work worth a task.
std::size_t share_count(const StoredRows& rows, const Lists& lists, std::size_t queries,
                        std::size_t nprobe, std::size_t threads) {
    if (queries >= threads || queries == 0) return 1;
    const std::size_t row_bytes = rows.by_signs() ? rows.coded->sign_coding->plane_size()
                                  : rows.coded    ? rows.coded->rows.quantizer().code_size()
                                                  : rows.codes.stride;
    const std::size_t bytes = rows.codes.count * row_bytes / lists.size() * nprobe;
    const std::size_t per_share = rows.by_signs() ? kSignBytesPerShare : kBytesPerShare;
    return std::clamp<std::size_t>(bytes * queries / per_share, 1,
                                   std::min(ceil_div(threads, queries), nprobe));
}

/// Queries of a group: every list should meet a panel full of them.
std::size_t group_size(const StoredRows& rows, std::size_t nprobe, std::size_t nlist) {
    if (rows.by_signs()) {
        const std::size_t table = kernels::sign_table_bytes(rows.coded->sign_coding->plane_size());
        return std::clamp<std::size_t>(kSignTables / table, 16, kMinGroup);
    }
    if (rows.coded && proposes_by_estimate(rows)) return kMinGroup;  // tables of 1 to 3 KiB each
    return std::clamp(kernels::kPanelLanes * nlist / nprobe, kMinGroup, kMaxGroup);
}

std::size_t group_count(std::size_t queries, std::size_t size, std::size_t threads) {
    return std::min(queries, round_up(std::max<std::size_t>(ceil_div(queries, size), 1), threads));
}

}  // namespace

ListSearch::ListSearch(const StoredRows& rows, const Lists& lists, MatrixView<float> queries,
                       MatrixView<float> code_queries, const Probes& probes, const Wanted& wanted,
                       std::size_t threads)
    : rows_(rows),
      lists_(lists),
      queries_(queries),
      code_queries_(code_queries),
      probes_(probes),
      wanted_(wanted),
      one_by_one_(rows.coded && !rows.by_signs() && !proposes_by_estimate(rows) &&
                  queries.rows * probes.nprobe < kFewSharers * lists.size()),
      shares_(share_count(rows, lists, queries.rows, probes.nprobe, threads)),
      collector_(rows, code_queries, {}, wanted.found(rows)),
      groups_(group_count(
          queries.rows,
          one_by_one_ ? kOneByOneGroup : group_size(rows, probes.nprobe, lists.size()), threads)) {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
        Group& group = groups_[g];
        group.first = queries.rows * g / groups_.size();
        group.count = queries.rows * (g + 1) / groups_.size() - group.first;
        group.found.resize(shares_);
        group.open = shares_;
        if (shares_ == 1) continue;
        group.floors = std::make_unique<std::atomic<float>[]>(group.count);
        for (std::size_t i = 0; i < group.count; ++i) group.floors[i] = kNoFloor;
    }
}

void ListSearch::run(std::size_t number, const TopKOut& out) {
    Group& group = groups_[number / shares_];
    const std::size_t share = number % shares_;
    std::vector<Candidates>& found = group.found[share];
    found.reserve(group.count);
    for (std::size_t i = 0; i < group.count; ++i) found.emplace_back(wanted_.found(rows_));
    const MatrixView<float> queries(code_queries_.row(group.first), group.count, code_queries_.cols,
                                    code_queries_.stride);
    const ListTask task{rows_,           lists_,
                        collector_,      queries,
                        group.first,     wanted_.found(rows_),
                        found,           group.floors.get(),
                        wanted_.epsilon, share == 0 && probes_.nprobe < lists_.size()};
    const auto scanner = make_list_scanner(task, one_by_one_);
    const std::size_t first_round = std::min(kFirstProbes * shares_, probes_.nprobe);
    scan(*scanner, group, 0, first_round, share);
    if (task.settles) scanner->settle();
    scan(*scanner, group, first_round, probes_.nprobe, share);
    if (group.open.fetch_sub(1, std::memory_order_acq_rel) == 1) finish(group, *scanner, out);
}

void ListSearch::scan(ListScanner& scanner, const Group& group, std::size_t first_probe,
                      std::size_t last_probe, std::size_t share) const {
    const ProbeSet set{probes_, group.first, group.count, first_probe, last_probe, share, shares_};
    for_each_list(set, lists_.size(),
                  [&](std::size_t list, std::span<const std::uint32_t> members) {
                      if (lists_.rows(list) != 0) scanner.scan(list, members);
                  });
}

void ListSearch::finish(Group& group, const ListScanner& scanner, const TopKOut& out) {
    Recheck recheck(rows_, queries_, code_queries_, wanted_.k, wanted_.rerank);
    if (scanner.estimates()) recheck.take_estimates();
    for (std::size_t i = 0; i < group.count; ++i) {
        Candidates& merged = group.found[0][i];
        for (std::size_t s = 1; s < shares_; ++s) merged.merge(group.found[s][i]);
        scanner.conclude(i, merged);
        recheck.add(group.first + i, merged.list(), scanner.units(i));
        if (recheck.pending() >= kMaxPending) recheck.run(out);
    }
    recheck.run(out);
    group.found.clear();
}

void search_lists(const StoredRows& rows, const Lists& lists, MatrixView<float> queries,
                  const Probes& probes, const Wanted& wanted, int threads, const TopKOut& out) {
    if (queries.rows == 0) return;
    std::optional<CodeQueries> turned;
    if (rows.coded) turned.emplace(rows, queries, threads);
    ListSearch search(rows, lists, queries, turned ? turned->view() : queries, probes, wanted,
                      static_cast<std::size_t>(max_workers(threads)));
    parallel_for(search.tasks(), threads, [&](std::size_t task, int) { search.run(task, out); });
}

}  // namespace nearfield
