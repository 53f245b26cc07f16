// Rows of lists that lie side by side are searched for together: of the lists that one of them looks into, most
// are looked into by many.
#include "index/hnsw/nearest_rows.h"

#include <algorithm>
#include <memory>

#include "base/parallel.h"
#include "index/hnsw/links.h"
#include "index/hnsw/list_probes.h"
#include "index/hnsw/row_search.h"

namespace nearfield {
namespace {

/// Rows that are searched for together.
constexpr std::size_t kTogether = 512;

/// One of these rows, by what is needed to find them.
struct Together {
    std::size_t list;  // of the first row
    std::size_t begin;
    std::size_t end;
};

std::vector<Together> all_together(const Partition& lists) {
    std::vector<Together> all;
    for (std::size_t list = 0; list < lists.lists(); ++list) {
        for (std::size_t at = lists.begin[list]; at < lists.begin[list + 1]; at = all.back().end) {
            if (all.empty() || all.back().end - all.back().begin == kTogether) {
                all.push_back({list, at, at});
            }
            all.back().end = std::min(lists.begin[list + 1], all.back().begin + kTogether);
        }
    }
    return all;
}

/// What one thread works with.
class Search {
public:
    Search(const ByteRows& rows, const Partition& lists, const ListProbes& probes,
           std::size_t wanted)
        : lists_(lists),
          probes_(probes),
          scratch_(probes, kTogether),
          search_(rows, lists.centres.size() / lists.lists(), kTogether, wanted),
          place_(lists.lists(), kNoNode) {}

    void run(const Together& rows, const TakeNearest& take, int worker) {
        collect_visits(rows);
        sort_visits();
        search_.start(static_cast<Id>(rows.begin));
        for (const Visited& v : visited_) {
            checkpoint();
            place_[v.list] = kNoNode;
            search_.meet(std::span(slots_).subspan(v.begin, v.count), lists_.begin[v.list],
                         lists_.begin[v.list + 1]);
        }
        for (std::size_t row = rows.begin; row < rows.end; ++row) {
            take(static_cast<Id>(row), search_.nearest(row - rows.begin), worker);
        }
    }

private:
    /// A list, and who looks into it: slots_[begin .. begin + count).
    struct Visited {
        Id rank;  // the best that it has for any of them
        Id list;
        std::size_t begin;
        std::size_t count;
    };
    struct Visit {
        Id place;  // of the list in visited_
        std::uint32_t slot;
    };

    void collect_visits(const Together& rows) {
        visited_.clear();
        visits_.clear();
        std::size_t list = rows.list;
        for (std::size_t at = rows.begin; at < rows.end; at = lists_.begin[list++ + 1]) {
            const std::size_t end = std::min(rows.end, lists_.begin[list + 1]);
            const auto visit = [&](std::size_t row, Id rank, Id other) {
                Id& place = place_[other];
                if (place == kNoNode) {
                    place = static_cast<Id>(visited_.size());
                    visited_.push_back({rank, other, 0, 0});
                }
                visited_[place].rank = std::min(visited_[place].rank, rank);
                ++visited_[place].count;
                visits_.push_back({place, static_cast<std::uint32_t>(row - rows.begin)});
            };
            probes_.of(static_cast<Id>(list), at, end, scratch_, visit);
        }
    }

    /// List by list, those first that are nearest to somebody.
    void sort_visits() {
        std::size_t sum = 0;
        for (Visited& v : visited_) {
            v.begin = sum;
            sum += v.count;
        }
        slots_.resize(sum);
        for (const Visit& visit : visits_) slots_[visited_[visit.place].begin++] = visit.slot;
        for (Visited& v : visited_) v.begin -= v.count;
        std::sort(visited_.begin(), visited_.end(), [](const Visited& a, const Visited& b) {
            return a.rank < b.rank || (a.rank == b.rank && a.list < b.list);
        });
    }

    const Partition& lists_;
    const ListProbes& probes_;
    ListProbes::Scratch scratch_;
    RowSearch search_;
    std::vector<Id> place_;  // of each list in visited_
    std::vector<Visited> visited_;
    std::vector<Visit> visits_;
    std::vector<std::uint32_t> slots_;
};

}  // namespace

void nearest_rows(const ByteRows& rows, const Partition& lists, const NearestSpec& spec,
                  int threads, const TakeNearest& take) {
    const ListProbes probes(rows, lists, spec.probed);
    std::vector<std::unique_ptr<Search>> workers(static_cast<std::size_t>(max_workers(threads)));
    for (auto& worker : workers) {
        worker = std::make_unique<Search>(rows, lists, probes, spec.wanted);
    }
    const std::vector<Together> together = all_together(lists);
    parallel_for(together.size(), threads, [&](std::size_t i, int worker) {
        workers[static_cast<std::size_t>(worker)]->run(together[i], take, worker);
    });
}

}  // namespace nearfield
