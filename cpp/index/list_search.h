// ListSearch: k nearest rows of the lists that each query probes, every list read once for all of them.
//
// A task is a group of queries and a share of their probes. Its (query, list) pairs are put in the
// order of lists, and each list is scanned against panels of the queries that want it. Two rounds: the
// nearest list of every query first, which sets floors, then the others. The last share of a group to
// finish merges and re-checks. As with exhaustive search the answer does not depend on any of this:
// the k best rows of the probed lists by exact key, ties by smaller label.
// How lists are scanned is a ListScanner's matter.
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
#include "index/list_scanner.h"
#include "index/lists.h"
#include "index/probes.h"
#include "index/search.h"
#include "select/candidates.h"

namespace nearfield {

/// How many answers are wanted, of how many rows, the best by code, what was kept of them is scored, and how
/// sure bounds by signs have to be.
struct Wanted {
    std::size_t k;
    std::size_t rerank = 0;
    double epsilon = 1.0;  // see SearchOptions

    std::size_t found(const StoredRows& rows) const noexcept {
        return rows.can_refine() && rerank > k ? rerank : k;
    }
};

class ListSearch {
public:
    /// code_queries: queries as the rows' codes take them.
    ListSearch(const StoredRows& rows, const Lists& lists, MatrixView<float> queries,
               MatrixView<float> code_queries, const Probes& probes, const Wanted& wanted,
               std::size_t threads);

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

    /// This share's probes from first_probe on, list by list.
    void scan(ListScanner& scanner, const Group& group, std::size_t first_probe,
              std::size_t last_probe, std::size_t share) const;
    void finish(Group& group, const ListScanner& scanner, const TopKOut& out);

    const StoredRows& rows_;
    const Lists& lists_;
    MatrixView<float> queries_;
    MatrixView<float> code_queries_;
    const Probes& probes_;
    Wanted wanted_;
    bool one_by_one_;
    std::size_t shares_;
    Collector collector_;
    std::vector<Group> groups_;
};

/// The k best rows of the lists each query probes.
void search_lists(const StoredRows& rows, const Lists& lists, MatrixView<float> queries,
                  const Probes& probes, const Wanted& wanted, int threads, const TopKOut& out);

}  // namespace nearfield
