// ListSearch: k nearest rows of the lists that each query probes, every list read once for all of them.
//
// A task is a group of queries and a share of their probes. Its (query, list) pairs are put in the
// order of lists, and each list is scanned against panels of the queries that want it. Two rounds: the
// nearest list of every query first, which sets floors, then the others. The last share of a group to
// finish merges and re-checks. As with exhaustive search the answer does not depend on any of this:
// the k best rows of the probed lists by exact key, ties by smaller label.
// Cost of a pair: packing the query's codes (about dim / 4 moves), then dim byte products a row.
// Source: own; list-major order as in IVF on GPUs (Johnson et al., Billion-scale similarity search, 2017).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/view.h"
#include "index/collector.h"
#include "index/lists.h"
#include "index/search.h"
#include "quant/raw/query.h"
#include "select/candidates.h"

namespace nearfield {

/// Lists to look into: row-major queries x nprobe, nearest list first.
struct Probes {
    std::span<const Id> lists;
    std::size_t nprobe;

    std::span<const Id> of(std::size_t query) const noexcept {
        return lists.subspan(query * nprobe, nprobe);
    }
};

class ListSearch {
public:
    ListSearch(const StoredRows& rows, const Lists& lists, MatrixView<float> queries,
               const Probes& probes, std::size_t k, std::size_t threads);

    std::size_t tasks() const noexcept { return groups_.size() * shares_; }

    /// Every task once, from any thread.
    void run(std::size_t task, const TopKOut& out);

private:
    struct Group {
        std::size_t first = 0;
        std::size_t count = 0;
        std::unique_ptr<std::atomic<float>[]> floors;  // where probes are shared out
        std::vector<std::vector<Candidates>> found;    // per share, per query
        std::atomic<std::size_t> open{0};
    };
    /// What a task works with.
    struct Task {
        Group& group;
        std::vector<QueryPanel> queries;  // as they come, kPanelLanes each
        std::vector<Candidates>& found;
        QueryPanel panel;  // those that want one list
    };

    void scan(Task& task, std::size_t first_probe, std::size_t last_probe, std::size_t share);
    void scan_list(Task& task, std::size_t list, std::span<const std::uint32_t> members);
    void finish(Group& group, const std::vector<QueryPanel>& queries, const TopKOut& out);

    const StoredRows& rows_;
    const Lists& lists_;
    MatrixView<float> queries_;
    const Probes& probes_;
    std::size_t k_;
    std::size_t shares_;
    Collector collector_;
    std::vector<Group> groups_;
};

/// The k best rows of the lists each query probes.
void search_lists(const StoredRows& rows, const Lists& lists, MatrixView<float> queries,
                  const Probes& probes, std::size_t k, int threads, const TopKOut& out);

}  // namespace nearfield
