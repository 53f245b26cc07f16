// ScanSearch: k nearest rows by one scan over codes and an exact re-check of what its bounds leave.
//
// Work is cut into tasks of (query group) x (row range); the last range of a group to finish merges
// and re-checks. Ranges of one group share their floors, so that a later range starts where an
// earlier one stood. None of this changes the answer: whatever survives, the k best by exact float64
// key (ties by smaller label) are returned.
//
// Guessed floors. A floor that is certain has to wait for k good rows, and meanwhile lets
// k ln(n / k) rows through that are not needed. Blocks are visited in scattered order, so of the k best
// about k t should lie in the first share t of the rows: the floor is the lower bound at that rank,
// three standard deviations and three. That lets through less than half as much; whether it was right shows
// at the end, and the few queries for which it was not are scanned again, from a floor that is certain
// by then.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/view.h"
#include "index/collector.h"
#include "index/plan.h"
#include "index/search.h"
#include "quant/raw/query.h"
#include "select/candidates.h"

namespace nearfield {

/// The queries of one scan.
struct ScanBatch {
    MatrixView<float> queries;
    std::vector<Id> selves;     // per query a row that may not answer; empty: none
    std::vector<float> floors;  // per query a certain floor, in its lane's units; empty: guess

    bool guess() const noexcept { return floors.empty(); }
};

/// A query whose guessed floor was too high, and a floor that is certain.
struct WrongGuess {
    std::size_t query;
    float certain;
};

class ScanSearch {
public:
    ScanSearch(const StoredRows& rows, const ScanBatch& batch, std::size_t k, std::size_t threads);

    std::size_t tasks() const noexcept { return plan_.groups * plan_.ranges; }

    /// Every task once, from any thread.
    void run(std::size_t task, const TopKOut& out);

    /// After the last task: the queries that were left without an answer.
    const std::vector<WrongGuess>& wrong_guesses() const noexcept { return wrong_guesses_; }

private:
    /// One group of queries: its floors are shared by the ranges, its candidates merged at the end.
    struct Group {
        std::size_t first = 0;
        std::size_t count = 0;
        std::unique_ptr<std::atomic<float>[]> floors;
        std::vector<std::vector<Candidates>> found;  // per range, per query
        std::atomic<std::size_t> open{0};
    };
    /// Rows [first, last) of one block, and what floors found there are worth.
    struct Piece {
        std::size_t first;
        std::size_t last;
        std::size_t next;  // first row of the piece after it
        std::size_t rank;
    };

    std::vector<QueryPanel> make_panels(const Group& group) const;
    std::size_t rank_after(std::size_t seen) const noexcept;
    std::vector<Candidates> start(const Group& group, std::vector<QueryPanel>& panels) const;
    void scan(Group& group, std::size_t range, std::vector<QueryPanel>& panels);
    void scan_piece(Group& group, const Piece& piece, std::vector<QueryPanel>& panels,
                    std::span<const Lane> lanes);
    void finish(Group& group, const std::vector<QueryPanel>& panels, const TopKOut& out);

    const StoredRows& rows_;
    const ScanBatch& batch_;
    std::size_t k_;
    Collector collector_;
    Plan plan_;
    std::vector<Group> groups_;
    std::mutex mutex_;
    std::vector<WrongGuess> wrong_guesses_;
};

}  // namespace nearfield
