// Guessed floors: where near rows lie side by side, guesses are wrong and must be found out, where rows
// lie in no order most are right; the answer is the same either way.
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "check.h"
#include "index/row_store.h"
#include "index/scan_search.h"
#include "index/search.h"

using nearfield::DType;
using nearfield::Metric;
using nearfield::Random;
using nearfield::RowStore;
using nearfield::ScanBatch;
using nearfield::ScanKind;
using nearfield::ScanSearch;
using nearfield::search_rows;

namespace {

constexpr std::size_t kDim = 24;
constexpr std::size_t kClusters = 40;
constexpr std::size_t kPerCluster = 200;
constexpr std::size_t kRows = kClusters * kPerCluster;
constexpr std::size_t kQueries = 150;

/// Rows near the centre of their cluster; clusters one after the other, or taking turns.
std::vector<float> draw(std::size_t n, bool side_by_side, Random& random) {
    Random places(7);
    std::vector<float> centres(kClusters * kDim);
    for (float& v : centres) v = static_cast<float>(places.uniform_double() - 0.5);
    std::vector<float> x(n * kDim);
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t cluster = side_by_side ? i * kClusters / n : i % kClusters;
        for (std::size_t d = 0; d < kDim; ++d) {
            x[i * kDim + d] = centres[cluster * kDim + d] +
                              0.1f * static_cast<float>(random.uniform_double() - 0.5);
        }
    }
    return x;
}

struct Answers {
    std::vector<std::int64_t> ids;
    std::vector<float> scores;
    std::vector<std::int64_t> counts;

    explicit Answers(std::size_t k) : ids(kQueries * k), scores(kQueries * k), counts(kQueries) {}
    nearfield::TopKOut out() { return {ids.data(), scores.data(), counts.data()}; }
};

/// The share of wrong guesses; checks the answers on the way.
double wrong_share(Metric metric, ScanKind kind, bool side_by_side, std::size_t k, int threads) {
    Random random(62);
    const std::vector<float> x = draw(kRows, side_by_side, random);
    const std::vector<float> q = draw(kQueries, false, random);
    RowStore store(kDim, metric, DType::kF32, kind);
    store.append({x.data(), kRows, kDim, kDim * sizeof(float), DType::kF32}, nullptr, {}, 1);
    const nearfield::StoredRows rows = store.view(nullptr);
    const nearfield::MatrixView<float> queries(q.data(), kQueries, kDim);

    Answers some(k);
    const ScanBatch batch{queries, {}, {}};
    ScanSearch search(rows, batch, k, static_cast<std::size_t>(threads));
    for (std::size_t task = 0; task < search.tasks(); ++task) search.run(task, some.out());

    Answers all(k);
    search_rows(rows, queries, k, false, threads, all.out());
    Answers whole(kRows);
    search_rows(rows, queries, kRows, false, threads, whole.out());
    std::vector<bool> wrong(kQueries, false);
    for (const nearfield::WrongGuess& guess : search.wrong_guesses()) wrong[guess.query] = true;
    for (std::size_t i = 0; i < kQueries; ++i) {
        for (std::size_t j = 0; j < k; ++j) {
            CHECK_EQ(all.ids[i * k + j], whole.ids[i * kRows + j]);
            CHECK_EQ(all.scores[i * k + j], whole.scores[i * kRows + j]);
            if (!wrong[i]) CHECK_EQ(some.ids[i * k + j], whole.ids[i * kRows + j]);
        }
    }
    return static_cast<double>(search.wrong_guesses().size()) / kQueries;
}

}  // namespace

TEST(guesses_do_not_change_the_answer) {
    for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
        for (const ScanKind kind : {ScanKind::kBytes, ScanKind::kBF16}) {
            for (const std::size_t k : {std::size_t{10}, std::size_t{100}}) {
                for (const int threads : {1, 2}) {
                    CHECK(wrong_share(metric, kind, true, k, threads) > 0.1);
                    CHECK(wrong_share(metric, kind, false, k, threads) < 0.2);
                }
            }
        }
    }
}
