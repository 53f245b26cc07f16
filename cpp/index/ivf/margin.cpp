#include "index/ivf/margin.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "index/probes.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// Queries of one task.
constexpr std::size_t kQueries = 16;

}  // namespace

void leave_out_far(std::span<Id> lists, std::size_t nprobe, MatrixView<float> queries,
                   const ExactScorer& scorer, double margin, int threads) {
    const std::size_t dim = queries.cols;
    const Metric metric = scorer.metric();
    parallel_for((queries.rows + kQueries - 1) / kQueries, threads, [&](std::size_t task, int) {
        std::vector<double> far(nprobe);
        const std::size_t last = std::min(queries.rows, (task + 1) * kQueries);
        for (std::size_t i = task * kQueries; i < last; ++i) {
            const std::span<Id> mine = lists.subspan(i * nprobe, nprobe);
            const float* query = queries.row(i);
            // Cosines times |q|.
            const double own = scorer.query_norm(query);
            const double unit = metric == Metric::kL2   ? 1.0
                                : metric == Metric::kIp ? norm_of(query, dim)
                                                        : own;
            for (std::size_t p = 0; p < nprobe; ++p) {
                const double key = scorer.key(query, mine[p]);
                far[p] = metric == Metric::kL2 ? std::sqrt(scorer.score(key, own)) : -key;
            }
            const double limit = *std::min_element(far.begin(), far.end()) + margin * unit;
            for (std::size_t p = 0; p < nprobe; ++p) {
                if (far[p] > limit) mine[p] = kNoList;
            }
        }
    });
}

}  // namespace nearfield
