#include "index/ivf/centroid_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/parallel.h"
#include "index/collector.h"
#include "index/panel_scanner.h"
#include "quant/raw/exact.h"
#include "select/nth_largest.h"

namespace nearfield {
namespace {

/// So few queries are cheaper one by one.
constexpr std::size_t kFewQueries = 3;
/// Where fewer queries than this meet in a group, on average, panels are mostly empty as well.
constexpr std::size_t kFewSharers = 4;
/// Queries whose candidates are held at once, see ListSearch.
constexpr std::size_t kMinGroup = 512;
constexpr std::size_t kMaxGroup = 4096;
/// Centroids fetched ahead of exact scoring.
constexpr std::ptrdiff_t kAhead = 4;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

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

CloseBounds::Adapted counted(const StoredRows& rows) noexcept {
    return {rows.is_folded, rows.is_reweighted() ? rows.norms : nullptr};
}

/// The nprobe centroids of the largest keys: bounds decide where they can, exact keys elsewhere.
/// Reorders `found`.
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

void choose_all(const StoredRows& rows, const CloseBounds& close, MatrixView<float> queries,
                std::span<Candidates> all_found, std::size_t nprobe, Id* out) {
    const ExactScorer scorer = rows.scorer();
    std::vector<Candidate> list;
    for (std::size_t i = 0; i < queries.rows; ++i) {
        all_found[i].drop();
        list.assign(all_found[i].list().begin(), all_found[i].list().end());
        close.tighten(list, queries.row(i), counted(rows));
        choose_lists(list, nprobe, scorer, queries.row(i), out + i * nprobe);
    }
}

void nearest_of_panel(const StoredRows& rows, const CloseBounds& close, MatrixView<float> queries,
                      std::size_t nprobe, Id* out) {
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
    choose_all(rows, close, queries, found, nprobe, out);
}

/// The same for one query, for which a panel would be mostly empty: by bytes, and every centroid's bound
/// as wide as the widest.
void nearest_of_one(const StoredRows& rows, const CloseBounds& close, const float* query,
                    std::span<const Run> runs, std::size_t nprobe, Id* out) {
    struct Memory {
        std::vector<float> uppers;
        std::vector<Candidate> found;
        HitBuffer hits;
    };
    thread_local Memory memory;
    Memory& m = memory;
    QueryPanel panel(rows.codes.spec, query, rows.rows.cols, 1);
    m.uppers.clear();
    float width = 0.0f;
    for (const Run& run : runs) {
        const std::size_t end = std::size_t{run.first} + run.count;
        for (std::size_t first = run.first; first < end; first += kBlockRows) {
            const std::size_t last = std::min(first + kBlockRows, end);
            panel.enter_block(rows.codes.error_of(first, last));
            scan_rows(rows.codes, first, last, panel, m.hits);  // without a floor, all are hits
            const float* upper = m.hits.upper.data();
            const std::size_t seen = m.uppers.size();
            m.uppers.resize(seen + (last - first));
            for (std::size_t i = 0; i < last - first; ++i) {
                // NaN: overflow
                m.uppers[seen + i] = upper[i] == upper[i] ? upper[i] : kInfinity;
            }
            width = std::max(width, widest(rows.codes, first, last, panel, upper));
        }
    }
    const float floor = nth_largest(m.uppers, nprobe) - width;
    m.found.resize(m.uppers.size());
    std::size_t kept = 0;
    const float* upper = m.uppers.data();
    for (const Run& run : runs) {
        for (Id row = run.first; row < run.first + run.count; ++row, ++upper) {
            // Branch-free: the slot is overwritten unless the row stays.
            m.found[kept] = {*upper, *upper - width, row};
            kept += static_cast<std::size_t>(!(*upper < floor));
        }
    }
    m.found.resize(kept);
    close.tighten(m.found, query, counted(rows));
    choose_lists(m.found, nprobe, rows.scorer(), query, out);
}

/// The same where every query has lists of its own to choose from: the runs of the groups it probes.
void nearest_of_group(const StoredRows& rows, const CloseBounds& close, const Lists& groups,
                      MatrixView<float> queries, const Probes& probes, std::size_t nprobe,
                      Id* out) {
    const Collector collector(rows, queries, {}, nprobe);
    std::vector<Candidates> found;
    for (std::size_t i = 0; i < queries.rows; ++i) found.emplace_back(nprobe);
    PanelScanner scanner({rows, groups, collector, queries, 0, nprobe, found});
    // The nearest group first: it sets floors.
    const std::size_t rounds[] = {0, 1, probes.nprobe};
    for (std::size_t r = 0; r < 2; ++r) {
        const ProbeSet set{probes, 0, queries.rows, rounds[r], rounds[r + 1], 0, 1};
        for_each_list(set, groups.size(),
                      [&](std::size_t group, std::span<const std::uint32_t> members) {
                          scanner.scan(group, members);
                      });
    }
    choose_all(rows, close, queries, found, nprobe, out);
}

}  // namespace

CentroidSearch::CentroidSearch(Metric metric, std::size_t dim, std::span<const float> centroids)
    : store_(store_of(metric, dim, centroids)),
      bytes_(bytes_of(store_)),
      close_(metric, store_.view(nullptr).rows) {}

CentroidAdapter CentroidSearch::adapted(const std::shared_ptr<const CorpusMap>& map,
                                        int threads) const {
    CentroidAdapter out;
    out.halves.map = out.bytes.map = map;
    out.halves.extend(store_, threads);
    out.bytes.extend(bytes_, threads);
    // Whoever keeps this must not keep the map.
    out.halves.map = out.bytes.map = nullptr;
    return out;
}

std::vector<Id> CentroidSearch::nearest(MatrixView<float> queries, std::size_t nprobe,
                                        const CentroidAdapter* adapter, int threads) const {
    std::vector<Id> out(queries.rows * nprobe);
    if (queries.rows <= kFewQueries) {
        const Run all{0, static_cast<Id>(size())};
        for (std::size_t i = 0; i < queries.rows; ++i) {
            nearest_of_one(bytes(adapter), close_, queries.row(i), {&all, 1}, nprobe,
                           out.data() + i * nprobe);
        }
        return out;
    }
    const StoredRows rows = halves(adapter);
    parallel_for(ceil_div(queries.rows, kernels::kPanelLanes), threads, [&](std::size_t p, int) {
        const std::size_t first = p * kernels::kPanelLanes;
        const std::size_t n = std::min(queries.rows - first, kernels::kPanelLanes);
        nearest_of_panel(rows, close_, {queries.row(first), n, queries.cols, queries.stride},
                         nprobe, out.data() + first * nprobe);
    });
    return out;
}

std::vector<Id> CentroidSearch::nearest_among(const Lists& groups, const Probes& probes,
                                              MatrixView<float> queries, std::size_t nprobe,
                                              const CentroidAdapter* adapter, int threads) const {
    std::vector<Id> out(queries.rows * nprobe);
    if (queries.rows <= kFewSharers * groups.size() / probes.nprobe) {
        parallel_for(queries.rows, threads, [&](std::size_t i, int) {
            std::vector<Run> runs;
            for (const Id group : probes.of(i)) {
                const auto mine = groups.runs(group);
                runs.insert(runs.end(), mine.begin(), mine.end());
            }
            nearest_of_one(bytes(adapter), close_, queries.row(i), runs, nprobe,
                           out.data() + i * nprobe);
        });
        return out;
    }
    const StoredRows rows = halves(adapter);
    const std::size_t workers = static_cast<std::size_t>(max_workers(threads));
    const std::size_t most =
        std::clamp(kernels::kPanelLanes * groups.size() / probes.nprobe, kMinGroup, kMaxGroup);
    const std::size_t parts =
        std::max(ceil_div(queries.rows, most), std::min(workers, queries.rows));
    parallel_for(parts, threads, [&](std::size_t part, int) {
        const std::size_t first = queries.rows * part / parts;
        const std::size_t n = queries.rows * (part + 1) / parts - first;
        const std::size_t wide = probes.nprobe;
        nearest_of_group(rows, close_, groups,
                         {queries.row(first), n, queries.cols, queries.stride},
                         {probes.lists.subspan(first * wide, n * wide), wide}, nprobe,
                         out.data() + first * nprobe);
    });
    return out;
}

}  // namespace nearfield
