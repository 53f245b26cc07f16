// Searches of lists against double loops: lists of many runs, empty and large ones, any probes, filters,
// dead rows, batches and numbers of threads.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "check.h"
#include "index/list_search.h"
#include "index/oracle.h"

using nearfield::DType;
using nearfield::Id;
using nearfield::Lists;
using nearfield::Metric;
using nearfield::Probes;
using nearfield::Random;
using nearfield::RowCoding;
using nearfield::RowFilter;
using nearfield::RowStore;

namespace {

constexpr std::size_t kLists = 12;

/// Rows in lists, as an index would have put them there, and the list of each.
struct Held {
    Held(Metric metric, DType dtype, std::size_t dim, std::uint64_t seed)
        : store(dim, metric, dtype), random(seed) {
        store.lists = std::make_shared<Lists>(kLists);
    }

    /// Finds rows by signs about a centre for every list; any will do.
    void use_signs(const char* quantizer) {
        const std::size_t dim = store.spec.dim;
        const std::vector<float> x = oracle::draw(DType::kF32, (kLists + 50) * dim, random);
        auto trained = nearfield::make_quantizer(quantizer, dim);
        trained->train({x.data() + kLists * dim, 50, dim}, 9, 1);
        const auto centres =
            std::make_shared<std::vector<float>>(x.data(), x.data() + kLists * dim);
        double most = 0.0;
        for (std::size_t l = 0; l < kLists; ++l) {
            most = std::max(most, nearfield::norm_of(centres->data() + l * dim, dim));
        }
        auto coding = std::make_shared<RowCoding>();
        coding->keeps_rows = coding->residual = true;
        coding->set_quantizer(std::move(trained));
        coding->set_centres({centres, centres->data()}, kLists, most);
        store.coding = std::move(coding);
    }

    /// The first list stays empty, the second gets half of all.
    std::size_t some_list() { return random.below(2) == 0 ? 1 : 2 + random.below(kLists - 2); }

    void add(std::size_t n) {
        const std::size_t dim = store.spec.dim;
        const DType dtype = store.spec.dtype;
        const std::vector<float> x = oracle::draw(dtype, n * dim, random);
        const std::vector<std::uint8_t> bytes = oracle::pack(dtype, x);
        std::vector<Id> list(n);
        std::vector<std::uint32_t> counts(kLists, 0);
        for (Id& l : list) ++counts[l = static_cast<Id>(some_list())];
        std::vector<Id> order(n);
        std::iota(order.begin(), order.end(), Id{0});
        std::stable_sort(order.begin(), order.end(), [&](Id a, Id b) { return list[a] < list[b]; });
        const std::size_t first = store.count;
        store.append({bytes.data(), n, dim, dim * nearfield::size_of(dtype), dtype}, nullptr,
                     {order.data(), list.data()}, 2);
        store.lists = std::make_shared<Lists>(store.lists->extended(first, counts));
        for (std::size_t i = 0; i < n; ++i) {
            const float* from = x.data() + order[i] * dim;
            home.push_back(list[order[i]]);
            rows.push_back({store.label(static_cast<Id>(first + i)), {from, from + dim}});
        }
    }

    RowStore store;
    Random random;
    std::vector<oracle::Row> rows;  // as they lie
    std::vector<std::size_t> home;
};

std::vector<Id> some_probes(Random& random, std::size_t queries, std::size_t nprobe) {
    std::vector<Id> probes;
    std::vector<Id> all(kLists);
    std::iota(all.begin(), all.end(), Id{0});
    for (std::size_t i = 0; i < queries; ++i) {
        random.shuffle(all.data(), all.size());
        probes.insert(probes.end(), all.begin(), all.begin() + static_cast<std::ptrdiff_t>(nprobe));
    }
    return probes;
}

void compare(Held& held, std::size_t queries, std::size_t nprobe, std::size_t k, int threads,
             const RowFilter* filter) {
    const std::size_t dim = held.store.spec.dim;
    const std::vector<float> q = oracle::draw(held.store.spec.dtype, queries * dim, held.random);
    const std::vector<Id> lists = some_probes(held.random, queries, nprobe);
    const Probes probes{lists, nprobe};
    std::vector<std::int64_t> ids(queries * k, 7);
    std::vector<float> scores(queries * k, 7.0f);
    std::vector<std::int64_t> counts(queries, 7);
    const nearfield::StoredRows view = held.store.view(filter);
    constexpr double kCertain = std::numeric_limits<double>::infinity();
    nearfield::search_lists(view, *held.store.lists, {q.data(), queries, dim}, probes,
                            {k, 0, kCertain}, threads, {ids.data(), scores.data(), counts.data()});
    for (std::size_t i = 0; i < queries; ++i) {
        const auto mine = probes.of(i);
        std::vector<std::uint8_t> mask(held.rows.size());
        for (std::size_t row = 0; row < mask.size(); ++row) {
            const bool there = std::find(mine.begin(), mine.end(), held.home[row]) != mine.end();
            mask[row] = there && view.passes(static_cast<Id>(row)) ? 1 : 0;
        }
        const auto truth =
            oracle::ranked(held.store.spec.metric, q.data() + i * dim, held.rows, &mask);
        CHECK_EQ(counts[i], static_cast<std::int64_t>(std::min(k, truth.size())));
        for (std::size_t j = 0; j < k; ++j) {
            CHECK_EQ(ids[i * k + j], j < truth.size() ? truth[j].label : nearfield::kMissing);
            const float score = scores[i * k + j];
            CHECK(j < truth.size() ? score == truth[j].score : score != score);
        }
    }
}

void check_many(Held& held) {
    const std::size_t n = held.rows.size();
    RowFilter some(n);
    for (std::size_t row = 0; row < n; ++row) {
        if (held.store.is_live(static_cast<Id>(row)) && held.random.below(5) == 0) {
            some.set(static_cast<Id>(row));
        }
    }
    for (const std::size_t queries : {1u, 2u, 3u, 31u, 70u}) {
        for (const std::size_t nprobe : {std::size_t{1}, std::size_t{4}, kLists}) {
            for (const int threads : {1, 2, 7}) {
                const std::size_t k =
                    std::vector<std::size_t>{1, 10, 100, n + 3}[held.random.below(4)];
                compare(held, queries, nprobe, k, threads,
                        held.random.below(3) == 0 ? &some : nullptr);
            }
        }
    }
}

}  // namespace

/// Bounds by signs that are certain lose nothing.
TEST(every_metric_by_signs) {
    std::uint64_t seed = 101;
    for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
        for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kU8}) {
            Held held(metric, dtype, 1 + seed * 11 % 70, seed);
            held.use_signs(seed % 2 == 0 ? "rabitq1" : "rabitq3");
            ++seed;
            for (const std::size_t n : {1u, 400u, 1u, 2u, 300u}) held.add(n);
            check_many(held);
            std::vector<Id> gone;
            for (Id row = 0; row < held.store.count; row += 3) gone.push_back(row);
            held.store.mark_dead(gone);
            check_many(held);
        }
    }
}

TEST(every_metric_and_type) {
    std::uint64_t seed = 1;
    for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
        for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8, DType::kU8}) {
            Held held(metric, dtype, 1 + seed * 11 % 70, seed);
            ++seed;
            check_many(held);  // nothing there
            for (const std::size_t n : {1u, 400u, 1u, 2u, 300u}) held.add(n);
            check_many(held);
            std::vector<Id> gone;
            for (Id row = 0; row < held.store.count; row += 3) gone.push_back(row);
            held.store.mark_dead(gone);
            check_many(held);
        }
    }
}

/// Long lists and long codes: probes are shared out among threads, and floors with them.
TEST(few_queries_many_threads) {
    Held held(Metric::kIp, DType::kF32, 512, 77);
    held.add(16'000);
    for (const int threads : {1, 2, 3, 8}) {
        for (const std::size_t queries : {1u, 2u, 3u}) {
            for (const std::size_t nprobe : {1u, 2u, 7u}) {
                for (const std::size_t k : {1u, 40u}) {
                    compare(held, queries, nprobe, k, threads, nullptr);
                }
            }
        }
    }
}

/// What bounds that may fail let through depends on neither threads nor who else asks.
TEST(few_queries_many_threads_by_signs) {
    constexpr std::size_t kDim = 512;
    constexpr std::size_t kQueries = 3;
    constexpr std::size_t kWanted = 40;
    for (const Metric metric : {Metric::kCosine, Metric::kL2}) {
        Held held(metric, DType::kF16, kDim, 79);
        held.use_signs("rabitq1");
        held.add(16'000);
        for (const int threads : {1, 2, 3, 8})
            compare(held, kQueries, 7, kWanted, threads, nullptr);
        const std::vector<float> q = oracle::draw(DType::kF32, kQueries * kDim, held.random);
        const std::vector<Id> lists = some_probes(held.random, kQueries, 7);
        const auto ask = [&](std::size_t first, std::size_t n, double epsilon, int threads) {
            std::vector<std::int64_t> ids(n * kWanted);
            std::vector<float> scores(n * kWanted);
            std::vector<std::int64_t> counts(n);
            nearfield::search_lists(
                held.store.view(nullptr), *held.store.lists, {q.data() + first * kDim, n, kDim},
                {std::span(lists).subspan(first * 7, n * 7), 7}, {kWanted, 0, epsilon}, threads,
                {ids.data(), scores.data(), counts.data()});
            return ids;
        };
        for (const double epsilon : {0.0, 0.2, 0.5, 1.0}) {
            const auto whole = ask(0, kQueries, epsilon, 1);
            for (const int threads : {2, 3, 8}) {
                CHECK(ask(0, kQueries, epsilon, threads) == whole);
                for (std::size_t i = 0; i < kQueries; ++i) {
                    const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(i * kWanted);
                    const auto alone = ask(i, 1, epsilon, threads);
                    CHECK(std::equal(alone.begin(), alone.end(), begin));
                }
            }
        }
    }
}

/// More queries than a group takes.
TEST(many_queries) {
    Held held(Metric::kL2, DType::kF32, 6, 78);
    for (int i = 0; i < 20; ++i) held.add(15);
    for (const int threads : {1, 3}) compare(held, 9001, 3, 5, threads, nullptr);
}
