// Scores of many queries with many codes: pairs of a query and a piece of the codes are the tasks.
#include "quant/score_codes.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/parallel.h"
#include "kernels/resolve.h"

namespace nearfield {
namespace {

constexpr std::size_t kPieceRows = 16384;

/// What one worker holds: the scorer of the query it saw last.
struct Bound {
    std::size_t query = 0;
    std::unique_ptr<CodeScorer> scorer;
};

}  // namespace

void score_codes(const Quantizer& quantizer, Metric metric, MatrixView<float> queries,
                 const std::uint8_t* codes, std::size_t n, float* out, int threads) {
    if (queries.cols != quantizer.dim()) {
        throw std::invalid_argument("got queries of " + std::to_string(queries.cols) +
                                    " columns, expected " + std::to_string(quantizer.dim()));
    }
    for (std::size_t i = 0; i < queries.rows; ++i) {
        if (!std::isfinite(kernels::active().max_abs(queries.row(i), queries.cols))) {
            throw std::invalid_argument("query " + std::to_string(i) +
                                        " holds NaN or infinity, expected finite values");
        }
    }
    const std::size_t pieces = (n + kPieceRows - 1) / kPieceRows;
    std::vector<Bound> bound(static_cast<std::size_t>(max_workers(threads)));
    parallel_for(queries.rows * pieces, threads, [&](std::size_t task, int worker) {
        Bound& mine = bound[static_cast<std::size_t>(worker)];
        const std::size_t query = task / pieces;
        const std::size_t first = task % pieces * kPieceRows;
        if (mine.scorer == nullptr || mine.query != query) {
            mine = {query, quantizer.make_scorer(metric, queries.row(query))};
        }
        mine.scorer->scores(codes + first * quantizer.code_size(), std::min(kPieceRows, n - first),
                            out + query * n + first);
    });
}

}  // namespace nearfield
