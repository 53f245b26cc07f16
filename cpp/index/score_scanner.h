// ScoreScanner: lists of a quantizer's codes that hardly more than one query wants: the query's own tables
// score them, row by row.
//
// A score is that of the decoded row but for the rounding of float32 sums, which is bounded by
// Cauchy-Schwarz: (dim + 64) 2^-22 |q| |x|. Under l2 the order of -|q - x|^2 is that of <q,x> - |x|^2 / 2,
// so that one table of inner products serves every list, whatever centroid its codes are about.
// Cost: one set of tables a query, one look-up per sub-quantizer (or dim multiply-adds) a row.
#pragma once

#include <memory>
#include <vector>

#include "index/list_scanner.h"
#include "quant/quantizer.h"

namespace nearfield {

class ScoreScanner final : public ListScanner {
public:
    explicit ScoreScanner(const ListTask& task);

    void scan(std::size_t list, std::span<const std::uint32_t> members) override;
    KeyUnits units(std::size_t member) const override;

private:
    struct Query {
        std::unique_ptr<CodeScorer> scorer;
        float slack;  // what a score may be off
        double squared_norm;
    };

    void scan(std::size_t list, std::uint32_t member);
    /// Candidates among rows [first, last), `shift` added to their scores.
    void collect(const Lane& lane, const Query& query, float shift, std::size_t first,
                 std::size_t last) const;

    ListTask task_;
    std::vector<Query> queries_;
};

}  // namespace nearfield
