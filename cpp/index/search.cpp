#include "index/search.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <utility>

#include "base/parallel.h"
#include "index/query_subset.h"
#include "index/ranking.h"
#include "index/scan_search.h"

namespace nearfield {
namespace {

/// Below this many rows, or above this share of them wanted, codes exclude next to nothing.
constexpr std::size_t kScanRows = 128;
/// Of so many rows one is scored outright in the time that all are scanned: for one query, which waits for
/// memory either way, and for many, which share what a scan reads.
constexpr std::size_t kScannedAlone = 4;
constexpr std::size_t kScannedTogether = 48;
/// Guessing saves about half a microsecond per query and k. A second pass streams all codes; this is
/// what of them streams in that time.
constexpr std::size_t kBytesPerGuess = 8192;

/// A row that is asked of memory while so many are scored first.
constexpr std::size_t kRowsAhead = 4;

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Writes the rows of [begin, end) that may answer; their number.
std::size_t passing_rows(const StoredRows& rows, std::size_t begin, std::size_t end, Id* ids) {
    if (rows.filter != nullptr) return rows.filter->write_ids(begin, end, ids);
    std::iota(ids, ids + (end - begin), static_cast<Id>(begin));
    return end - begin;
}

std::vector<WrongGuess> scan(const StoredRows& rows, const ScanBatch& batch, std::size_t k,
                             int threads, const TopKOut& out) {
    ScanSearch search(rows, batch, k, static_cast<std::size_t>(max_workers(threads)));
    parallel_for(search.tasks(), threads, [&](std::size_t task, int) { search.run(task, out); });
    return search.wrong_guesses();
}

/// Queries whose floor was guessed too high, once more from a floor that is certain.
void scan_again(const StoredRows& rows, const ScanBatch& all, const std::vector<WrongGuess>& wrong,
                std::size_t k, int threads, const TopKOut& out) {
    std::vector<std::size_t> numbers;
    for (const WrongGuess& guess : wrong) numbers.push_back(guess.query);
    QuerySubset subset(all.queries, std::move(numbers), k);
    ScanBatch batch{subset.queries(), {}, {}};
    for (const WrongGuess& guess : wrong) {
        batch.floors.push_back(guess.certain);
        if (!all.selves.empty()) batch.selves.push_back(all.selves[guess.query]);
    }
    scan(rows, batch, k, threads, subset.answers());
    subset.deliver(out);
}

}  // namespace

CodeQueries::CodeQueries(const StoredRows& rows, MatrixView<float> queries, int threads)
    : view_(queries) {
    const Quantizer& quantizer = rows.coded->rows.quantizer();
    if (!quantizer.rotates() || queries.rows == 0) return;
    if (!rows.is_folded) {
        rotated_.resize(queries.rows * queries.cols);
        quantizer.rotate(queries, rotated_.data(), threads);
        view_ = {rotated_.data(), queries.rows, queries.cols};
        return;
    }
    // Both parts of a folded query are rotated; what stands behind them stays.
    const std::size_t dim = queries.cols;
    const std::size_t width = queries.stride / sizeof(float);
    std::vector<float> part(queries.rows * dim);
    rotated_.resize(queries.rows * width);
    for (std::size_t i = 0; i < queries.rows; ++i) {
        std::copy_n(queries.row(i), width, rotated_.data() + i * width);
    }
    for (const std::size_t at : {std::size_t{0}, dim}) {
        quantizer.rotate({queries.data + at, queries.rows, dim, queries.stride}, part.data(),
                         threads);
        for (std::size_t i = 0; i < queries.rows; ++i) {
            std::copy_n(part.data() + i * dim, dim, rotated_.data() + i * width + at);
        }
    }
    view_ = {rotated_.data(), queries.rows, dim, queries.stride};
}

void search_all(const StoredRows& rows, MatrixView<float> queries, std::size_t k, bool exclude_self,
                int threads, const TopKOut& out) {
    const ExactScorer scorer = rows.scorer();
    const std::size_t n = rows.codes.count;
    const auto workers = static_cast<std::size_t>(max_workers(threads));
    const std::size_t ranges = std::clamp<std::size_t>(
        ceil_div(2 * workers, queries.rows), 1, std::max<std::size_t>(1, ceil_div(n, kBlockRows)));
    const std::size_t per_range = round_up(ceil_div(n, ranges), kBlockRows);
    const std::size_t at_once = std::max<std::size_t>(workers, 256 / ranges);
    for (std::size_t first = 0; first < queries.rows; first += at_once) {
        const std::size_t count = std::min(at_once, queries.rows - first);
        std::vector<Ranking> found(count * ranges, Ranking(k));
        parallel_for(count * ranges, threads, [&](std::size_t task, int) {
            const std::size_t query = first + task / ranges;
            const std::size_t begin = std::min(n, task % ranges * per_range);
            const std::size_t end = std::min(n, begin + per_range);
            std::array<Id, kBlockRows> ids;
            for (std::size_t block = begin; block < end; block += kBlockRows) {
                checkpoint();
                const std::size_t last = std::min(end, block + kBlockRows);
                const std::size_t passing = passing_rows(rows, block, last, ids.data());
                for (std::size_t i = 0; i < passing; ++i) {
                    if (i + kRowsAhead < passing) scorer.prefetch(ids[i + kRowsAhead]);
                    if (exclude_self && ids[i] == query) continue;
                    found[task].offer({scorer.key(queries.row(query), ids[i]), rows.label(ids[i])});
                }
            }
        });
        parallel_for(count, threads, [&](std::size_t i, int) {
            Ranking& best = found[i * ranges];
            for (std::size_t r = 1; r < ranges; ++r) {
                for (const Ranked& ranked : found[i * ranges + r].list()) best.offer(ranked);
            }
            write_row(best.sorted(), k, scorer, scorer.query_norm(queries.row(first + i)),
                      first + i, out);
        });
    }
}

void search_rows(const StoredRows& rows, MatrixView<float> queries, std::size_t k,
                 bool exclude_self, int threads, const TopKOut& out) {
    if (queries.rows == 0) return;
    const std::size_t n = rows.codes.count;
    const std::size_t wanted = rows.filter != nullptr ? rows.filter->count() : n;
    const std::size_t scanned = queries.rows == 1 ? kScannedAlone : kScannedTogether;
    if (n < kScanRows || k > wanted / 4 || wanted < n / scanned) {
        search_all(rows, queries, k, exclude_self, threads, out);
        return;
    }
    ScanBatch batch{queries, {}, {}};
    for (std::size_t i = 0; exclude_self && i < queries.rows; ++i) {
        batch.selves.push_back(static_cast<Id>(i));
    }
    if (queries.rows * k * kBytesPerGuess < n * rows.codes.stride) {
        batch.floors.assign(queries.rows, -std::numeric_limits<float>::infinity());
    }
    const std::vector<WrongGuess> wrong = scan(rows, batch, k, threads, out);
    if (!wrong.empty()) scan_again(rows, batch, wrong, k, threads, out);
}

}  // namespace nearfield
