// FastScanner: lists of 4-bit product codes that few queries want: byte tables in registers propose rows,
// with certain bounds on their scores (quant/pq/fast_scan.h).
//
// Under l2 codes about a centroid c need tables of q - c, one set a list; otherwise one set serves all lists.
// Where rows were kept beside their codes, sums of rounded entries rank rows and nothing is decoded: that is
// the same for few queries and many. Rows short of a whole block are scored by their codes.
#pragma once

#include <optional>
#include <vector>

#include "index/list_scanner.h"
#include "quant/pq/fast_tables.h"

namespace nearfield {

class FastScanner final : public ListScanner {
public:
    explicit FastScanner(const ListTask& task);

    void scan(std::size_t list, std::span<const std::uint32_t> members) override;
    KeyUnits units(std::size_t member) const override;
    bool estimates() const noexcept override { return estimates_; }

private:
    struct Query {
        std::optional<FastTable> table;  // where one serves all lists
        double slack;                    // what a score may be off, but for the rounding of tables
        double squared_norm;
    };
    /// A query of one pass.
    struct Asked {
        std::uint32_t member;
        double shift;  // added to scores of the list
        ScanScale scale;
    };
    Candidate candidate(const Asked& asked, std::uint32_t sum, Id row) const noexcept;
    std::uint32_t threshold(const Asked& asked) const noexcept;

    void scan_pass(std::size_t list, std::span<const std::uint32_t> members);
    std::span<const Asked> ask(std::span<const std::uint32_t> members, const float* centre);
    void scan_blocks(std::span<const Asked> asked, std::size_t first, std::size_t last);
    void score_tail(std::span<const Asked> asked, std::size_t first, std::size_t last);
    void settle(std::span<const Asked> asked);
    void thin(Candidates& found) const;

    ListTask task_;
    const CodedRows& coded_;
    bool l2_;
    bool estimates_;
    std::vector<Query> queries_;
    FastPass pass_;
    std::vector<Asked> asked_;
    std::vector<float> about_;
};

}  // namespace nearfield
