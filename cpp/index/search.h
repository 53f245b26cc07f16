// Exhaustive search over one set of rows: scan codes, keep what the bounds cannot exclude, re-check.
//
// scan_search.h does that; few rows, or a large share of them wanted, are scored outright. Neither
// changes the answer: the k best by exact float64 key, ties by smaller label.
// Cost: one pass over the codes per group of up to 1,024 queries, a second one for wrong guesses, and
// about 1.5 k exact scores a query.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/view.h"
#include "index/lists.h"
#include "quant/rabitq/sign_coding.h"
#include "quant/raw/codes.h"
#include "quant/raw/exact.h"
#include "select/filter.h"

namespace nearfield {

/// Rows that are found by a quantizer's codes.
struct CodedRows {
    DecodedRows rows;
    const float* bias;    // l2: -|x|^2 / 2 of the decoded row; else null
    const double* norms;  // of decoded rows under a map, see ExactScorer; else null
    double longest;       // the largest of them; cosine: of their inverses
    double max_norm;      // of decoded rows, and of the centres they are about
    double max_centre;
    const std::uint8_t* packed;  // whole blocks for fast scans, and how many rows these hold
    std::size_t packed_rows;
    const SignCoding* sign_coding;  // null: no planes
    SignView signs;
    SignView sign_tail;  // of rows behind those
};

/// The rows a search runs over. Row i of `codes`, `rows`, `norms` and `labels` is the same vector.
struct StoredRows {
    CodeView codes;       // of coded rows: spec and count alone
    RowsView rows;        // of coded rows: what re-ranks them, data null where there is nothing
    const double* norms;  // cosine, and l2 where queries are folded; else null
    const std::int64_t* labels;  // null: labels are arrival numbers
    const Id* arrivals;          // null: they are row numbers
    const RowFilter* filter;     // rows that may answer; null: all
    bool is_folded;              // rows count as a map has them, queries are folded
    std::optional<CodedRows> coded;

    std::int64_t label(Id row) const noexcept {
        if (labels != nullptr) return labels[row];
        return static_cast<std::int64_t>(arrivals != nullptr ? arrivals[row] : row);
    }
    bool passes(Id row) const noexcept { return filter == nullptr || filter->test(row); }

    /// Found by bounds on the scores of rows that are kept.
    bool by_signs() const noexcept { return coded && coded->sign_coding != nullptr; }
    /// Scores are not those of rows but for the query.
    bool is_reweighted() const noexcept { return is_folded && codes.spec.metric != Metric::kIp; }
    bool can_refine() const noexcept {
        return coded.has_value() && rows.data != nullptr && !by_signs();
    }
    /// Of the rows as they are found: decoded, where they are coded and codes alone find them.
    ExactScorer scorer() const {
        if (!coded || by_signs()) return kept_scorer();
        return {codes.spec.metric, coded->rows, coded->norms, is_folded};
    }
    /// Of the rows that are kept.
    ExactScorer kept_scorer() const { return {codes.spec.metric, rows, norms, is_folded}; }
};

/// Queries as coded rows are scored against them: rotated where those are, see Quantizer::rotates().
class CodeQueries {
public:
    CodeQueries(const StoredRows& rows, MatrixView<float> queries, int threads);
    CodeQueries(const CodeQueries&) = delete;
    CodeQueries& operator=(const CodeQueries&) = delete;

    MatrixView<float> view() const noexcept { return view_; }

private:
    std::vector<float> rotated_;
    MatrixView<float> view_;
};

inline constexpr std::int64_t kMissing = INT64_MIN;

/// Where results go: row-major n x k.
struct TopKOut {
    std::int64_t* ids;
    float* scores;
    std::int64_t* counts;
};

/// One answer list per query.
struct RangeHits {
    std::vector<std::int64_t> ids;
    std::vector<float> scores;
};

/// Every row scored exactly: for few rows, or when a large share of them is asked for. Few queries are
/// split by rows, so that all threads have work. exclude_self: query i is row i and must not find itself.
void search_all(const StoredRows& rows, MatrixView<float> queries, std::size_t k, bool exclude_self,
                int threads, const TopKOut& out);

/// The same by way of codes, where that is quicker.
void search_rows(const StoredRows& rows, MatrixView<float> queries, std::size_t k,
                 bool exclude_self, int threads, const TopKOut& out);

/// All rows with score >= threshold (ip, cosine) or <= threshold (l2), best first.
std::vector<RangeHits> range_search_rows(const StoredRows& rows, MatrixView<float> queries,
                                         double threshold, int threads);

/// The same for one query among the rows of some runs.
RangeHits range_search_runs(const StoredRows& rows, MatrixView<float> query, double threshold,
                            std::span<const Run> runs);

}  // namespace nearfield
