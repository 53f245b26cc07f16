#include "index/ivf/coarse.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "index/collector.h"
#include "quant/kmeans/kmeans.h"
#include "quant/raw/exact.h"

namespace nearfield {
namespace {

/// More points a list do not make better lists.
constexpr std::size_t kPointsPerList = 256;
constexpr int kIterations = 10;
/// The first centroids pass every threshold: small pieces let floors rise early.
constexpr std::size_t kFirstPiece = 32;
/// Rows widened and assigned at once.
constexpr std::size_t kRowsAtOnce = std::size_t{1} << 16;

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// The rows numbered by `numbers` as float32. Throws std::invalid_argument naming the first that is not
/// finite.
std::vector<float> widened(const RowsView& rows, std::span<const Id> numbers, int threads) {
    std::vector<float> out(numbers.size() * rows.cols);
    std::atomic<std::size_t> bad{SIZE_MAX};
    parallel_for(ceil_div(numbers.size(), 256), threads, [&](std::size_t block, int) {
        const std::size_t end = std::min(numbers.size(), (block + 1) * 256);
        for (std::size_t i = block * 256; i < end; ++i) {
            float* to = out.data() + i * rows.cols;
            widen_plain(rows.dtype, rows.row(numbers[i]), to, rows.cols);
            if (all_finite(to, rows.cols)) continue;
            std::size_t seen = bad.load();
            while (numbers[i] < seen && !bad.compare_exchange_weak(seen, numbers[i])) {
            }
        }
    });
    if (bad.load() != SIZE_MAX) {
        throw std::invalid_argument("row " + std::to_string(bad.load()) +
                                    " holds NaN or infinity; expected finite values: drop or "
                                    "repair that row");
    }
    return out;
}

RowStore store_of(Metric metric, std::size_t dim, std::span<const float> centroids) {
    // Few rows are scanned and many of them wanted: bounds that leave little open.
    RowStore store(dim, metric, DType::kF32, ScanKind::kBF16);
    store.append({centroids.data(), centroids.size() / dim, dim, dim * sizeof(float), DType::kF32},
                 nullptr, {}, 0);
    return store;
}

/// The nprobe centroids of the largest keys: bounds decide where they can, exact keys elsewhere.
/// Reorders `found`.
void choose_lists(std::vector<Candidate>& found, std::size_t nprobe, const ExactScorer& scorer,
                  const float* query, Id* out) {
    const auto higher = [](const Candidate& a, const Candidate& b) { return a.upper > b.upper; };
    if (found.size() > nprobe) {
        const auto next = found.begin() + static_cast<std::ptrdiff_t>(nprobe);
        std::nth_element(found.begin(), next, found.end(), higher);
        // At most nprobe centroids can beat this.
        const float limit = next->upper;
        const auto open = std::partition(found.begin(), found.end(),
                                         [=](const Candidate& c) { return c.lower > limit; });
        std::vector<std::pair<double, Id>> keys;
        for (auto it = open; it != found.end(); ++it) {
            keys.emplace_back(-scorer.key(query, it->row), it->row);
        }
        const auto certain = static_cast<std::size_t>(open - found.begin());
        const auto wanted = static_cast<std::ptrdiff_t>(nprobe - certain);
        std::nth_element(keys.begin(), keys.begin() + wanted, keys.end());
        for (std::size_t i = certain; i < nprobe; ++i) out[i] = keys[i - certain].second;
        found.erase(open, found.end());
    }
    // The nearest comes first as far as bounds tell: it is looked into first.
    if (!found.empty())
        std::iter_swap(found.begin(), std::min_element(found.begin(), found.end(), higher));
    for (std::size_t i = 0; i < found.size(); ++i) out[i] = found[i].row;
}

void nearest_of_panel(const StoredRows& rows, MatrixView<float> queries, std::size_t nprobe,
                      Id* out) {
    QueryPanel panel(rows.codes.spec, queries.data, queries.stride / sizeof(float), queries.rows);
    const Collector collector(rows, queries, {}, nprobe);
    std::vector<Candidates> found;
    std::vector<Lane> lanes;
    for (std::size_t i = 0; i < queries.rows; ++i) found.emplace_back(nprobe);
    for (std::size_t i = 0; i < queries.rows; ++i) lanes.push_back({i, &found[i]});
    // Small pieces first: the first rows pass every threshold.
    std::size_t step = kFirstPiece;
    for (std::size_t row = 0, last = 0; row < rows.codes.count; row = last) {
        last = std::min(row + step, rows.codes.count);
        collector.scan(panel, lanes, row, last, nprobe);
        step = std::min(2 * step, kBlockRows);
    }
    const ExactScorer scorer = rows.scorer();
    std::vector<Candidate> list;
    for (std::size_t i = 0; i < queries.rows; ++i) {
        found[i].drop();
        list.assign(found[i].list().begin(), found[i].list().end());
        choose_lists(list, nprobe, scorer, queries.row(i), out + i * nprobe);
    }
}

}  // namespace

CoarseLists::CoarseLists(Metric metric, std::size_t dim, std::span<const float> centroids)
    : store_(store_of(metric, dim, centroids)) {}

CoarseLists CoarseLists::train(const RowsView& rows, Metric metric, std::size_t nlist,
                               std::uint64_t seed, int threads) {
    if (rows.rows < nlist) {
        throw std::invalid_argument("x: got " + std::to_string(rows.rows) +
                                    " rows to train on, expected at least nlist = " +
                                    std::to_string(nlist) + ": pass more rows or use fewer lists");
    }
    const std::size_t n = std::min(rows.rows, nlist * kPointsPerList);
    std::vector<Id> order(rows.rows);
    std::iota(order.begin(), order.end(), Id{0});
    if (n < rows.rows) {
        Random random(seed);
        for (std::size_t i = 0; i < n; ++i) {
            std::swap(order[i], order[i + random.below(rows.rows - i)]);
        }
        // In the order of memory, which pages like better.
        std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n));
    }
    order.resize(n);
    std::vector<float> sample = widened(rows, order, threads);
    if (metric == Metric::kCosine) {
        parallel_for(n, threads, [&](std::size_t i, int) {
            normalise(sample.data() + i * rows.cols, rows.cols);
        });
    }
    KMeansOptions options;
    options.k = nlist;
    options.iterations = kIterations;
    options.seed = seed;
    options.spherical = metric != Metric::kL2;
    const KMeansResult found = kmeans({sample.data(), n, rows.cols}, options, threads);
    return {metric, rows.cols, found.centroids};
}

std::vector<Id> CoarseLists::nearest(MatrixView<float> queries, std::size_t nprobe,
                                     int threads) const {
    std::vector<Id> out(queries.rows * nprobe);
    const StoredRows rows = store_.view(nullptr);
    parallel_for(ceil_div(queries.rows, kernels::kPanelLanes), threads, [&](std::size_t p, int) {
        const std::size_t first = p * kernels::kPanelLanes;
        const std::size_t n = std::min(queries.rows - first, kernels::kPanelLanes);
        nearest_of_panel(rows, {queries.row(first), n, queries.cols, queries.stride}, nprobe,
                         out.data() + first * nprobe);
    });
    return out;
}

std::vector<Id> CoarseLists::assign(const RowsView& rows, int threads) const {
    std::vector<Id> out;
    out.reserve(rows.rows);
    for (std::size_t first = 0; first < rows.rows; first += kRowsAtOnce) {
        std::vector<Id> numbers(std::min(rows.rows - first, kRowsAtOnce));
        std::iota(numbers.begin(), numbers.end(), static_cast<Id>(first));
        const std::vector<float> wide = widened(rows, numbers, threads);
        const std::vector<Id> part = nearest({wide.data(), numbers.size(), rows.cols}, 1, threads);
        out.insert(out.end(), part.begin(), part.end());
    }
    return out;
}

}  // namespace nearfield
