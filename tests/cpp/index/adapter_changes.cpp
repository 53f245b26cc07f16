// Corpus adapters through adds, removals, files and mixtures: an index answers as one would that has only ever seen
// its live rows.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "index/adapted.h"
#include "index/load.h"
#include "quant/registry.h"

using namespace adapted;

namespace {

constexpr std::size_t kDim = 12;
constexpr std::size_t kRank = 2;
constexpr std::size_t kQueries = 20;
constexpr std::size_t kWanted = 7;

std::shared_ptr<const CorpusMap> some_map() {
    return low_rank(gaussian(kDim * kRank, 0.3f, 11), gaussian(kDim * kRank, 0.3f, 12), kDim);
}

std::shared_ptr<const CorpusMap> some_matrix() {
    std::vector<float> w = gaussian(kDim * kDim, 0.1f, 13);
    for (std::size_t k = 0; k < kDim; ++k) w[k * kDim + k] += 1.0f;
    return matrix(w, kDim);
}

std::unique_ptr<Index> make(int kind, Metric metric,
                            std::shared_ptr<const RowCoding> coding = nullptr) {
    const std::vector<float> training = gaussian(300 * kDim, 0.3f, 77);
    auto index = adapted::make(kind, metric, view(training, kDim), std::move(coding));
    if (!index->is_trained()) index->train(view(training, kDim), 1);
    return index;
}

Answer ask(const Index& index, std::vector<AdapterShare> shares) {
    return adapted::ask(index, gaussian(kQueries * kDim, 0.3f, 5), kWanted, kQueries,
                        everywhere(std::move(shares)));
}

std::unique_ptr<Index> fresh(const Index& index, int kind, Metric metric) {
    auto out = make(kind, metric);
    const std::vector<std::int64_t> ids = index.labels();
    std::vector<float> rows(ids.size() * kDim);
    index.reconstruct(ids, {}, rows.data());
    out->add(view(rows, kDim), ids.data(), false, 1);
    out->add_corpus_adapter("a", some_map(), 1);
    out->add_corpus_adapter("w", some_matrix(), 1);
    return out;
}

void check_same(const Index& a, const Index& b) {
    CHECK(ask(a, {{"a", 1.0}}) == ask(b, {{"a", 1.0}}));
    CHECK(ask(a, {{"w", 1.0}}) == ask(b, {{"w", 1.0}}));
    CHECK(ask(a, {{"a", 0.5}, {"w", -0.25}}) == ask(b, {{"a", 0.5}, {"w", -0.25}}));
}

bool are_same(const Column& a, const Column& b) {
    return a.bytes() == b.bytes() && std::equal(a.data(), a.data() + a.bytes(), b.data());
}

/// What an index knows of its rows under a map is what it would know if the map were new.
void check_described(Index& index, std::shared_ptr<const CorpusMap> map) {
    index.add_corpus_adapter("anew", std::move(map), 2);
    const auto all = index.corpus_adapters();
    const RowAdapter& mine = *all.front().rows;
    const RowAdapter& anew = *all.back().rows;
    CHECK_EQ(mine.count, anew.count);
    CHECK(are_same(mine.norms, anew.norms));
    CHECK(are_same(mine.code_norms, anew.code_norms));
    CHECK(are_same(mine.scale, anew.scale));
    CHECK(are_same(mine.spread, anew.spread));
    CHECK(are_same(mine.bias, anew.bias));
    CHECK(are_same(mine.walk, anew.walk));
    CHECK_EQ(mine.longest, anew.longest);
    CHECK_EQ(mine.stretch, anew.stretch);
    index.remove_corpus_adapter("anew");
}

std::shared_ptr<const RowCoding> coded(const char* name, bool keeps_rows) {
    auto coding = std::make_shared<RowCoding>();
    coding->quantizer = make_quantizer(name, kDim);
    coding->keeps_rows = keeps_rows;
    return coding;
}

}  // namespace

TEST(rows_that_come_are_described_as_all_would_be) {
    struct Step {
        std::size_t rows;
        float scale;  // what is coded in units of the longest row is coded anew
    };
    constexpr Step kSteps[] = {{1, 1e-12f}, {3, 0.3f},    {300, 0.3f},
                               {1, 1e6f},   {1300, 1e3f}, {40, 0.3f}};
    const auto map = some_map();
    const std::shared_ptr<const RowCoding> codings[] = {nullptr, coded("sq8", true),
                                                        coded("pq4x4", false)};
    for (const Metric metric : kMetrics) {
        for (int way = 0; way < 3 * kKinds; ++way) {
            const auto index = make(way % kKinds, metric, codings[way / kKinds]);
            index->add_corpus_adapter("a", map, 2);
            for (std::size_t i = 0; i < std::size(kSteps); ++i) {
                const std::vector<float> rows =
                    gaussian(kSteps[i].rows * kDim, kSteps[i].scale, 40 + i);
                index->add(view(rows, kDim), nullptr, false, 2);
                check_described(*index, map);
            }
            std::vector<std::int64_t> gone = index->labels();
            gone.resize(gone.size() * 2 / 3);
            index->remove(gone);
            check_described(*index, map);
        }
    }
}

TEST(adapters_follow_the_rows) {
    for (const Metric metric : kMetrics) {
        for (int kind = 0; kind < kKinds; ++kind) {
            const auto index = make(kind, metric);
            index->add_corpus_adapter("a", some_map(), 1);
            index->add_corpus_adapter("w", some_matrix(), 1);
            const std::size_t counts[] = {3, 300, 1, 40, 2000, 1};
            for (std::size_t step = 0; step < 6; ++step) {
                const std::vector<float> rows = gaussian(counts[step] * kDim, 0.3f, 20 + step);
                index->add(view(rows, kDim), nullptr, false, 2);
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
    const auto none = low_rank(zero, zero, kDim);
    const auto unit = matrix(one, kDim);
    for (const Metric metric : kMetrics) {
        for (int kind = 0; kind < kKinds; ++kind) {
            const auto index = make(kind, metric);
            const std::vector<float> rows = gaussian(900 * kDim, 0.3f, 3);
            index->add(view(rows, kDim), nullptr, false, 2);
            index->add_corpus_adapter("none", none, 1);
            index->add_corpus_adapter("unit", unit, 1);
            index->add_corpus_adapter("a", some_map(), 1);
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
    index->add_corpus_adapter("a", some_map(), 1);
    CHECK_THROWS(std::invalid_argument, index->add_corpus_adapter("a", some_map(), 1));
    CHECK_THROWS(std::invalid_argument, index->add_corpus_adapter("", some_map(), 1));
    bad.resize(6 * kRank);
    CHECK_THROWS(std::invalid_argument, index->add_corpus_adapter("b", low_rank(bad, bad, 6), 1));
    CHECK_EQ(index->corpus_adapters().size(), 1U);
}

TEST(weights_beyond_all_measure_are_refused) {
    const std::vector<float> nothing(kDim, 0.0f);  // stays within float32 under any map
    for (const Metric metric : kMetrics) {
        const auto index = make(0, metric);
        const std::vector<float> rows = gaussian(50 * kDim, 0.3f, 3);
        index->add(view(rows, kDim), nullptr, false, 1);
        index->add_corpus_adapter("a", some_map(), 1);
        index->add_corpus_adapter("w", some_matrix(), 1);
        for (const char* name : {"a", "w"}) {
            for (const double weight : {1e300, -1e200, 0x1p41}) {
                CHECK_THROWS(std::invalid_argument, adapted::ask(*index, nothing, kWanted, 1,
                                                                 everywhere({{name, weight}})));
            }
        }
        CHECK_EQ(ask(*index, {{"a", 1000.0}, {"w", -1000.0}}).counts[0],
                 static_cast<std::int64_t>(kWanted));
    }
}

TEST(mixtures_are_forgotten_when_rows_change) {
    const auto index = make(0, Metric::kL2);
    const std::vector<float> rows = gaussian(500 * kDim, 0.3f, 3);
    index->add(view(rows, kDim), nullptr, false, 1);
    index->add_corpus_adapter("a", some_map(), 1);
    const std::size_t before = index->bytes();
    ask(*index, {{"a", 0.5}});
    ask(*index, {{"a", 0.25}});
    CHECK(index->bytes() > before);
    index->add_corpus_adapter("w", some_matrix(), 1);
    index->remove_corpus_adapter("w");
    CHECK_EQ(index->bytes(), before);
}
