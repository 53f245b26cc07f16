#include "index/ivf/coarse.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "index/collector.h"
#include "quant/kmeans/kmeans.h"
#include "quant/raw/exact.h"
#include "select/nth_largest.h"

namespace nearfield {
namespace {

/// More points a list do not make better lists.
constexpr std::size_t kPointsPerList = 256;
constexpr int kIterations = 10;
/// The first centroids pass every threshold: small pieces let floors rise early.
constexpr std::size_t kFirstPiece = 32;
/// So few queries are cheaper one by one.
constexpr std::size_t kFewQueries = 3;
/// Centroids fetched ahead of exact scoring.
constexpr std::ptrdiff_t kAhead = 4;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
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

/// The same centroids as bytes.
RowStore bytes_of(const RowStore& store) {
    return RowStore::borrow(store.view(nullptr).rows, store.spec.metric, 0, ScanKind::kBytes);
}

/// The nprobe centroids of the largest keys, the nearest first: bounds decide where they can, exact keys
/// elsewhere. Reorders `found`.
void choose_lists(std::vector<Candidate>& found, std::size_t nprobe, const ExactScorer& scorer,
                  const float* query, Id* out) {
    const auto higher = [](const Candidate& a, const Candidate& b) { return a.upper > b.upper; };
    std::pair<double, Id> nearest{std::numeric_limits<double>::infinity(), 0};
    if (found.size() > nprobe) {
        const auto next = found.begin() + static_cast<std::ptrdiff_t>(nprobe);
        std::nth_element(found.begin(), next, found.end(), higher);
        // At most nprobe centroids can beat this.
        const float limit = next->upper;
        const auto open = std::partition(found.begin(), found.end(),
                                         [=](const Candidate& c) { return c.lower > limit; });
        std::vector<std::pair<double, Id>> keys;
        keys.reserve(static_cast<std::size_t>(found.end() - open));
        for (auto it = open; it != found.end(); ++it) {
            const auto left = found.end() - it;
            if (left > kAhead) scorer.prefetch(it[kAhead].row);
            keys.emplace_back(-scorer.key(query, it->row), it->row);
        }
        const auto certain = static_cast<std::size_t>(open - found.begin());
        const auto wanted = static_cast<std::ptrdiff_t>(nprobe - certain);
        std::nth_element(keys.begin(), keys.begin() + wanted, keys.end());
        for (std::size_t i = certain; i < nprobe; ++i) {
            out[i] = keys[i - certain].second;
            nearest = std::min(nearest, keys[i - certain]);
        }
        found.erase(open, found.end());
    }
    float sure = -kInfinity;
    for (const Candidate& c : found) sure = c.lower > sure ? c.lower : sure;
    for (std::size_t i = 0; i < found.size(); ++i) {
        out[i] = found[i].row;
        if (found[i].upper < sure) continue;
        nearest = std::min(nearest, {-scorer.key(query, out[i]), out[i]});
    }
    std::iter_swap(out, std::find(out, out + nprobe, nearest.second));
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

/// At least the difference of both bounds of every row; see lower_bound().
float widest(const CodeView& view, std::size_t first, std::size_t last, const QueryPanel& panel,
             const float* upper) {
    float spread = 0.0f;
    float most = 0.0f;
    float bias = 0.0f;
    for (std::size_t i = 0; i < last - first; ++i) {
        const float size = std::fabs(upper[i]);
        spread = view.spread[first + i] > spread ? view.spread[first + i] : spread;
        most = size > most ? size : most;
    }
    for (std::size_t row = first; view.bias != nullptr && row < last; ++row) {
        bias = std::fabs(view.bias[row]) > bias ? std::fabs(view.bias[row]) : bias;
    }
    const float slack = most + (bias + 0x1p-126f) * panel.tilt()[0];
    // Twice what lower_bound() allows for rounding.
    return panel.width(0) * spread * (1.0f + 0x1p-20f) + slack * 0x1p-17f +
           2.0f * static_cast<float>(panel.key_slack(0)) + 0x1p-117f;
}

/// The same for one query, for which a panel would be mostly empty: by bytes, and every centroid's bound
/// as wide as the widest.
void nearest_of_one(const StoredRows& rows, const float* query, std::size_t nprobe, Id* out) {
    struct Memory {
        std::vector<float> uppers;
        std::vector<float> sorted;
        std::vector<Candidate> found;
        HitBuffer hits;
    };
    thread_local Memory memory;
    Memory& m = memory;
    QueryPanel panel(rows.codes.spec, query, rows.rows.cols, 1);
    const std::size_t n = rows.codes.count;
    m.uppers.resize(n);
    float width = 0.0f;
    for (std::size_t first = 0; first < n; first += kBlockRows) {
        const std::size_t last = std::min(first + kBlockRows, n);
        panel.enter_block(rows.codes.error_of(first, last));
        scan_rows(rows.codes, first, last, panel, m.hits);  // without a floor, all are hits
        const float* upper = m.hits.upper.data();
        for (std::size_t i = 0; i < last - first; ++i) {
            m.uppers[first + i] = upper[i] == upper[i] ? upper[i] : kInfinity;  // NaN: overflow
        }
        width = std::max(width, widest(rows.codes, first, last, panel, upper));
    }
    m.sorted = m.uppers;
    const float floor = nth_largest(m.sorted, nprobe) - width;
    m.found.resize(n);
    std::size_t kept = 0;
    for (std::size_t row = 0; row < n; ++row) {
        // Branch-free: the slot is overwritten unless the row stays.
        m.found[kept] = {m.uppers[row], m.uppers[row] - width, static_cast<Id>(row)};
        kept += static_cast<std::size_t>(!(m.uppers[row] < floor));
    }
    m.found.resize(kept);
    const ExactScorer scorer = rows.scorer();
    choose_lists(m.found, nprobe, scorer, query, out);
}

}  // namespace

CoarseLists::CoarseLists(Metric metric, std::size_t dim, std::span<const float> centroids)
    : store_(store_of(metric, dim, centroids)), bytes_(bytes_of(store_)) {}

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
    if (queries.rows <= kFewQueries) {
        const StoredRows rows = bytes_.view(nullptr);
        for (std::size_t i = 0; i < queries.rows; ++i) {
            nearest_of_one(rows, queries.row(i), nprobe, out.data() + i * nprobe);
        }
        return out;
    }
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
