#include "index/ivf/list_search.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/interrupt.h"
#include "base/parallel.h"
#include "index/recheck.h"

namespace nearfield {
namespace {

/// Queries of a group: enough to fill panels, few enough that their candidates stay in cache.
constexpr std::size_t kMaxGroup = 4096;
constexpr std::size_t kMinGroup = 512;
/// Bytes of codes that a thread of its own is worth.
constexpr std::size_t kBytesPerShare = std::size_t{1} << 20;
/// The first rows pass every threshold: small pieces let floors rise early.
constexpr std::size_t kFirstPiece = 32;
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
    const std::size_t bytes = rows.codes.count * rows.codes.stride / lists.size() * nprobe;
    return std::clamp<std::size_t>(bytes * queries / kBytesPerShare, 1,
                                   std::min(ceil_div(threads, queries), nprobe));
}

/// Into how many groups the queries are cut: every list should meet a panel full of each.
std::size_t group_count(std::size_t queries, std::size_t nprobe, std::size_t nlist,
                        std::size_t threads) {
    const std::size_t size =
        std::clamp(kernels::kPanelLanes * nlist / nprobe, kMinGroup, kMaxGroup);
    return std::min(queries, round_up(std::max<std::size_t>(ceil_div(queries, size), 1), threads));
}

void raise_shared(std::atomic<float>& shared, Candidates& mine) {
    float seen = shared.load(std::memory_order_relaxed);
    while (mine.floor() > seen &&
           !shared.compare_exchange_weak(seen, mine.floor(), std::memory_order_relaxed)) {
    }
    mine.raise(seen);
}

}  // namespace

ListSearch::ListSearch(const StoredRows& rows, const Lists& lists, MatrixView<float> queries,
                       const Probes& probes, std::size_t k, std::size_t threads)
    : rows_(rows),
      lists_(lists),
      queries_(queries),
      probes_(probes),
      k_(k),
      shares_(share_count(rows, lists, queries.rows, probes.nprobe, threads)),
      collector_(rows, queries, {}, k),
      groups_(group_count(queries.rows, probes.nprobe, lists.size(), threads)) {
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
    Task task{group, {}, group.found[share], QueryPanel(rows_.codes.spec)};
    for (std::size_t i = 0; i < group.count; i += kernels::kPanelLanes) {
        task.queries.emplace_back(rows_.codes.spec, queries_.row(group.first + i),
                                  queries_.stride / sizeof(float),
                                  std::min(kernels::kPanelLanes, group.count - i));
    }
    task.found.reserve(group.count);
    for (std::size_t i = 0; i < group.count; ++i) task.found.emplace_back(k_);
    const std::size_t first_round = std::min(kFirstProbes * shares_, probes_.nprobe);
    scan(task, 0, first_round, share);
    scan(task, first_round, probes_.nprobe, share);
    if (group.open.fetch_sub(1, std::memory_order_acq_rel) == 1) finish(group, task.queries, out);
}

/// This share's probes from first_probe on, list by list.
void ListSearch::scan(Task& task, std::size_t first_probe, std::size_t last_probe,
                      std::size_t share) {
    const Group& group = task.group;
    const auto for_all = [&](auto&& visit) {
        for (std::size_t i = 0; i < group.count; ++i) {
            const std::span<const Id> lists = probes_.of(group.first + i);
            for (std::size_t p = first_probe + share; p < last_probe; p += shares_) {
                visit(lists[p], static_cast<std::uint32_t>(i));
            }
        }
    };
    if (group.count == 1) {  // nearest list first: nothing to gather
        for_all([&](Id list, std::uint32_t member) { scan_list(task, list, {&member, 1}); });
        return;
    }
    std::vector<std::uint32_t> ends(lists_.size() + 1, 0);
    for_all([&](Id list, std::uint32_t) { ++ends[list + 1]; });
    for (std::size_t list = 0; list < lists_.size(); ++list) ends[list + 1] += ends[list];
    std::vector<std::uint32_t> members(ends.back());
    for_all([&](Id list, std::uint32_t member) { members[ends[list]++] = member; });
    for (std::size_t list = 0, begin = 0; list < lists_.size(); begin = ends[list++]) {
        scan_list(task, list, {members.data() + begin, ends[list] - begin});
    }
}

void ListSearch::scan_list(Task& task, std::size_t list, std::span<const std::uint32_t> members) {
    if (lists_.rows(list) == 0) return;
    for (std::size_t m = 0; m < members.size(); m += kernels::kPanelLanes) {
        const std::size_t n = std::min(kernels::kPanelLanes, members.size() - m);
        PanelLane from[kernels::kPanelLanes];
        Lane lanes[kernels::kPanelLanes];
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t member = members[m + i];
            from[i] = {&task.queries[member / kernels::kPanelLanes], member % kernels::kPanelLanes};
            lanes[i] = {task.group.first + member, &task.found[member]};
        }
        task.panel.gather({from, n});
        bool no_floor = false;
        for (std::size_t i = 0; i < n; ++i) {
            if (shares_ > 1) raise_shared(task.group.floors[members[m + i]], *lanes[i].found);
            task.panel.set_floor(i, lanes[i].found->floor());
            no_floor |= lanes[i].found->floor() == kNoFloor;
        }
        const auto share_floor = [&](const Lane& lane) {
            if (shares_ > 1) {
                raise_shared(task.group.floors[lane.query - task.group.first], *lane.found);
            }
        };
        std::size_t step = no_floor ? kFirstPiece : kBlockRows;
        for (const Run& run : lists_.runs(list)) {
            const std::size_t end = run.first + run.count;
            for (std::size_t row = run.first; row < end;
                 row += step, step = std::min(2 * step, kBlockRows)) {
                checkpoint();
                collector_.scan(task.panel, {lanes, n}, row, std::min(row + step, end), k_,
                                share_floor);
            }
        }
    }
}

void ListSearch::finish(Group& group, const std::vector<QueryPanel>& queries, const TopKOut& out) {
    Recheck recheck(rows_, queries_, k_);
    for (std::size_t i = 0; i < group.count; ++i) {
        Candidates& merged = group.found[0][i];
        for (std::size_t s = 1; s < shares_; ++s) merged.merge(group.found[s][i]);
        merged.drop();
        recheck.add(group.first + i, merged.list(), queries[i / kernels::kPanelLanes],
                    i % kernels::kPanelLanes);
        if (recheck.pending() >= kMaxPending) recheck.run(out);
    }
    recheck.run(out);
    group.found.clear();
}

void search_lists(const StoredRows& rows, const Lists& lists, MatrixView<float> queries,
                  const Probes& probes, std::size_t k, int threads, const TopKOut& out) {
    if (queries.rows == 0) return;
    ListSearch search(rows, lists, queries, probes, k,
                      static_cast<std::size_t>(max_workers(threads)));
    parallel_for(search.tasks(), threads, [&](std::size_t task, int) { search.run(task, out); });
}

}  // namespace nearfield
