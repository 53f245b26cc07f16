// Corpus adapters through adds, removals, files and mixtures: an index answers as one would that has only ever seen
// its live rows.
#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/random.h"
#include "check.h"
#include "index/flat/flat_index.h"
#include "index/hnsw/hnsw_index.h"
#include "index/ivf/ivf_index.h"
#include "index/load.h"
#include "transform/corpus_map.h"

using namespace nearfield;

namespace {

constexpr std::size_t kDim = 12;
constexpr std::size_t kRank = 2;
constexpr std::size_t kQueries = 20;
constexpr std::size_t kWanted = 7;
constexpr Metric kMetrics[] = {Metric::kIp, Metric::kCosine, Metric::kL2};

std::vector<float> noise(std::size_t n, float scale, std::uint64_t seed) {
    Random random(seed);
    std::vector<float> x(n);
    for (float& value : x) value = (random.uniform_float() - 0.5f) * scale;
    return x;
}

std::shared_ptr<const CorpusMap> low_rank(float scale, std::uint64_t seed) {
    const std::vector<float> u = noise(kDim * kRank, scale, seed);
    const std::vector<float> v = noise(kDim * kRank, scale, seed + 1);
    return std::make_shared<const CorpusMap>(
        CorpusMap::low_rank({u.data(), kDim, kRank}, {v.data(), kDim, kRank}));
}

std::shared_ptr<const CorpusMap> matrix(std::uint64_t seed) {
    std::vector<float> w = noise(kDim * kDim, 0.3f, seed);
    for (std::size_t k = 0; k < kDim; ++k) w[k * kDim + k] += 1.0f;
    return std::make_shared<const CorpusMap>(CorpusMap::matrix({w.data(), kDim, kDim}));
}

RowsView view(const std::vector<float>& rows) {
    return {rows.data(), rows.size() / kDim, kDim, kDim * sizeof(float), DType::kF32};
}

std::unique_ptr<Index> make(int kind, Metric metric) {
    if (kind == 0) return std::make_unique<FlatIndex>(kDim, metric, DType::kF32, nullptr);
    if (kind == 1) {
        return std::make_unique<HnswIndex>(kDim, metric, DType::kF32, GraphSpec{6, 40, 1});
    }
    auto ivf = std::make_unique<IvfIndex>(kDim, metric, DType::kF32, 4, 1);
    ivf->train(view(noise(300 * kDim, 1.0f, 77)), 1);
    return ivf;
}

struct Answer {
    std::vector<std::int64_t> ids;
    std::vector<float> scores;
    bool operator==(const Answer&) const = default;
};

Answer ask(const Index& index, std::vector<AdapterShare> shares) {
    const std::vector<float> queries = noise(kQueries * kDim, 1.0f, 5);
    Answer out{std::vector<std::int64_t>(kQueries * kWanted),
               std::vector<float>(kQueries * kWanted)};
    std::vector<std::int64_t> counts(kQueries);
    SearchOptions options;
    options.nprobe = 4;
    options.ef_search = 65536;
    options.corpus_adapters = std::move(shares);
    index.search({queries.data(), kQueries, kDim}, kWanted, options,
                 {out.ids.data(), out.scores.data(), counts.data()});
    return out;
}

std::unique_ptr<Index> fresh(const Index& index, int kind, Metric metric) {
    auto out = make(kind, metric);
    const std::vector<std::int64_t> ids = index.labels();
    std::vector<float> rows(ids.size() * kDim);
    index.reconstruct(ids, {}, rows.data());
    out->add(view(rows), ids.data(), false, 1);
    out->add_corpus_adapter("a", low_rank(1.0f, 11), 1);
    out->add_corpus_adapter("w", matrix(13), 1);
    return out;
}

void check_same(const Index& a, const Index& b) {
    CHECK(ask(a, {{"a", 1.0}}) == ask(b, {{"a", 1.0}}));
    CHECK(ask(a, {{"w", 1.0}}) == ask(b, {{"w", 1.0}}));
    CHECK(ask(a, {{"a", 0.5}, {"w", -0.25}}) == ask(b, {{"a", 0.5}, {"w", -0.25}}));
}

}  // namespace

TEST(adapters_follow_the_rows) {
    for (const Metric metric : kMetrics) {
        for (int kind = 0; kind < 3; ++kind) {
            const auto index = make(kind, metric);
            index->add_corpus_adapter("a", low_rank(1.0f, 11), 1);
            index->add_corpus_adapter("w", matrix(13), 1);
            const std::size_t counts[] = {3, 300, 1, 40, 2000, 1};
            for (std::size_t step = 0; step < 6; ++step) {
                const std::vector<float> rows = noise(counts[step] * kDim, 1.0f, 20 + step);
                index->add(view(rows), nullptr, false, 2);
                if (step % 2 == 1) {
                    std::vector<std::int64_t> gone = index->labels();
                    std::size_t kept = 0;
                    for (std::size_t i = 0; i < gone.size(); i += 2) gone[kept++] = gone[i];
                    gone.resize(kept);
                    index->remove(gone);
                }
                if (index->size() >= kWanted) check_same(*index, *fresh(*index, kind, metric));
            }
            const std::string path = "/tmp/nearfield-adapters-" + std::to_string(::getpid());
            index->save(path, false);
            const auto loaded = load_index(path, false, true);
            std::remove(path.c_str());
            CHECK_EQ(loaded->corpus_adapters().size(), 2U);
            check_same(*index, *loaded);
            index->remove_corpus_adapter("a");
            CHECK_THROWS(std::invalid_argument, ask(*index, {{"a", 1.0}}));
            CHECK_THROWS(std::invalid_argument, index->remove_corpus_adapter("a"));
        }
    }
}

TEST(what_changes_nothing_changes_no_bit) {
    const std::vector<float> zero(kDim * kRank, 0.0f);
    std::vector<float> one(kDim * kDim, 0.0f);
    for (std::size_t k = 0; k < kDim; ++k) one[k * kDim + k] = 1.0f;
    const auto none = std::make_shared<const CorpusMap>(
        CorpusMap::low_rank({zero.data(), kDim, kRank}, {zero.data(), kDim, kRank}));
    const auto unit =
        std::make_shared<const CorpusMap>(CorpusMap::matrix({one.data(), kDim, kDim}));
    for (const Metric metric : kMetrics) {
        for (int kind = 0; kind < 3; ++kind) {
            const auto index = make(kind, metric);
            index->add(view(noise(900 * kDim, 1.0f, 3)), nullptr, false, 2);
            index->add_corpus_adapter("none", none, 1);
            index->add_corpus_adapter("unit", unit, 1);
            index->add_corpus_adapter("a", low_rank(1.0f, 11), 1);
            const Answer plain = ask(*index, {});
            CHECK(ask(*index, {{"none", 1.0}}) == plain);
            CHECK(ask(*index, {{"unit", 1.0}}) == plain);
            CHECK(ask(*index, {{"a", 0.0}, {"none", 2.0}}) == plain);
            CHECK(!(ask(*index, {{"a", 1.0}}) == plain));
        }
    }
}

TEST(wrong_maps_are_refused) {
    std::vector<float> bad(kDim * kRank, 1.0f);
    const MatrixView<float> good(bad.data(), kDim, kRank);
    CHECK_THROWS(std::invalid_argument, CorpusMap::low_rank(good, {bad.data(), kDim, 1}));
    CHECK_THROWS(std::invalid_argument, CorpusMap::matrix(good));
    std::vector<float> huge(kDim * kRank, 1e30f);
    CHECK_THROWS(std::invalid_argument, CorpusMap::low_rank({huge.data(), kDim, kRank}, good));
    huge[5] = NAN;
    CHECK_THROWS(std::invalid_argument, CorpusMap::low_rank({huge.data(), kDim, kRank}, good));
    const auto index = make(0, Metric::kL2);
    index->add_corpus_adapter("a", low_rank(1.0f, 11), 1);
    CHECK_THROWS(std::invalid_argument, index->add_corpus_adapter("a", low_rank(1.0f, 1), 1));
    CHECK_THROWS(std::invalid_argument, index->add_corpus_adapter("", low_rank(1.0f, 1), 1));
    const auto narrow = std::make_shared<const CorpusMap>(
        CorpusMap::low_rank({bad.data(), 6, kRank}, {bad.data(), 6, kRank}));
    CHECK_THROWS(std::invalid_argument, index->add_corpus_adapter("b", narrow, 1));
    CHECK_EQ(index->corpus_adapters().size(), 1U);
}
