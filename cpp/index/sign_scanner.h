// SignScanner: lists of rows that are kept, by the first planes of their rotated codes.
//
// Planes bound every row's score from above and below, surely to a degree: `epsilon` deviations. Candidates
// are the rows whose upper bound reaches the k-th largest lower bound. The k most promising rows of the
// nearest list are scored at once, so that what cannot reach them is no candidate.
// With bounds that may fail, what is scored decides the answer. It is defined by bounds and exact scores alone:
// where more than kMostHeld candidates cannot be told apart, by the largest upper bounds, ties by smaller
// label. So the answer depends on neither the order of lists nor batch, threads or level.
// Ranks are what bounds are about: <q,x> for a query made as long as the longest row, or -|q - x|^2 / 2.
// Cost of a row: see sign_blocks.h; of a query: its table, a centre's distance a list.
// Source: own; bounds from Gao & Long (SIGMOD 2024).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "index/list_scanner.h"
#include "quant/rabitq/sign_blocks.h"

namespace nearfield {

class SignScanner final : public ListScanner {
public:
    explicit SignScanner(const ListTask& task);

    void scan(std::size_t list, std::span<const std::uint32_t> members) override;
    KeyUnits units(std::size_t member) const override { return {queries_[member].scale, 0.0, 0.0}; }
    void settle() override;
    void conclude(std::size_t member, Candidates& found) const override;

private:
    struct Query {
        SignQuery signs;
        double scale;   // of ranks, as a multiple of keys
        double length;  // |q|, as ranks count it
        bool ranks;     // false: bounds leave float32's range, every row is a candidate
    };
    /// A query and the list it is in.
    struct Visit {
        const Query& query;
        Lane lane;
        double offset;  // rank of the centre
        double slack;   // what rounds apart from bounds
    };

    void scan_list(std::size_t list, std::uint32_t member);
    void scan_piece(const Visit& visit, std::size_t first, std::size_t last) const;
    void scan_blocks(const Visit& visit, const SignView& view, std::size_t base, std::size_t first,
                     std::size_t last) const;
    void hold_less(std::uint32_t member) const;
    void settle(std::uint32_t member);

    ListTask task_;
    const CodedRows& coded_;
    const SignCoding& coding_;
    ExactScorer scorer_;
    bool l2_;
    bool certain_;
    bool starts_;         // in the nearest lists: floors of other tasks do not count yet
    double longest_row_;  // as ranks count lengths
    double longest_;      // of rows and centres
    std::vector<Query> queries_;
};

}  // namespace nearfield
