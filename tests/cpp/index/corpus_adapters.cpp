// Rows under a linear map: every kind answers as brute force over mapped rows does, in long double.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <vector>

#include "check.h"
#include "index/adapted.h"
#include "quant/registry.h"

using namespace adapted;

namespace {

constexpr std::size_t kDim = 20;
constexpr std::size_t kRank = 3;
constexpr std::size_t kRows = 900;
constexpr std::size_t kQueries = 40;
constexpr std::size_t kWanted = 10;

std::vector<long double> mapped(const std::vector<float>& rows, const std::vector<float>& u,
                                const std::vector<float>& v) {
    std::vector<long double> out(rows.begin(), rows.end());
    for (std::size_t i = 0; i < rows.size() / kDim; ++i) {
        for (std::size_t j = 0; j < kRank; ++j) {
            long double product = 0;
            for (std::size_t k = 0; k < kDim; ++k) {
                product += static_cast<long double>(v[k * kRank + j]) * rows[i * kDim + k];
            }
            for (std::size_t k = 0; k < kDim; ++k) out[i * kDim + k] += product * u[k * kRank + j];
        }
    }
    return out;
}

long double goodness(Metric metric, const float* q, const long double* x) {
    long double product = 0;
    long double length = 0;
    long double distance = 0;
    for (std::size_t k = 0; k < kDim; ++k) {
        product += q[k] * x[k];
        length += x[k] * x[k];
        distance += (q[k] - x[k]) * (q[k] - x[k]);
    }
    if (metric == Metric::kIp) return product;
    if (metric == Metric::kL2) return -distance;
    long double own = 0;
    for (std::size_t k = 0; k < kDim; ++k) own += static_cast<long double>(q[k]) * q[k];
    const long double lengths = std::sqrt(length * own);
    return lengths > 0 ? product / lengths : 0;
}

void judge(Metric metric, const std::vector<float>& queries, const std::vector<long double>& rows,
           const Answer& answer) {
    for (std::size_t i = 0; i < answer.counts.size(); ++i) {
        CHECK_EQ(answer.counts[i], static_cast<std::int64_t>(kWanted));
        std::vector<long double> best;
        for (std::size_t r = 0; r < rows.size() / kDim; ++r) {
            best.push_back(goodness(metric, queries.data() + i * kDim, rows.data() + r * kDim));
        }
        const std::vector<long double> every = best;
        std::sort(best.begin(), best.end(), std::greater<>());
        for (std::size_t j = 0; j < kWanted; ++j) {
            const long double mine = every[static_cast<std::size_t>(answer.ids[i * kWanted + j])];
            CHECK(std::fabs(mine - best[j]) < 1e-9L);
            const long double score = metric == Metric::kL2 ? -mine : mine;
            CHECK(std::fabs(score - answer.scores[i * kWanted + j]) <
                  1e-9L + 1e-6L * std::fabs(score));
        }
    }
}

/// The same but for float32 rounding of rotations. by_ratio: under cosine decoded rows count as unit vectors, and
/// the map by how much longer it makes them.
void judge_codes(Metric metric, const std::vector<float>& queries, const std::vector<float>& rows,
                 const std::vector<long double>& adapted, bool by_ratio, const Answer& answer) {
    const std::vector<long double> plain(rows.begin(), rows.end());
    for (std::size_t i = 0; i < answer.counts.size(); ++i) {
        std::vector<long double> every;
        for (std::size_t r = 0; r < rows.size() / kDim; ++r) {
            long double key =
                goodness(metric, queries.data() + i * kDim, adapted.data() + r * kDim);
            long double length = 0;
            for (std::size_t k = 0; k < kDim; ++k) {
                length += plain[r * kDim + k] * plain[r * kDim + k];
            }
            every.push_back(by_ratio ? key * std::sqrt(length) : key);
        }
        std::vector<long double> best = every;
        std::sort(best.begin(), best.end(), std::greater<>());
        for (std::size_t j = 0; j < kWanted; ++j) {
            const long double mine = every[static_cast<std::size_t>(answer.ids[i * kWanted + j])];
            CHECK(std::fabs(mine - best[j]) < 2e-5L);
            const long double score = metric == Metric::kL2 ? -mine : mine;
            CHECK(std::fabs(score - answer.scores[i * kWanted + j]) < 2e-5L);
        }
    }
}

}  // namespace

TEST(every_kind_answers_as_if_rows_were_mapped) {
    std::vector<float> rows = gaussian(kRows * kDim, 1.0f, 1);
    std::fill_n(rows.data() + 7 * kDim, kDim, 0.0f);
    const std::vector<float> u = gaussian(kDim * kRank, 0.3f, 2);
    const std::vector<float> v = gaussian(kDim * kRank, 0.3f, 3);
    const std::vector<long double> adapted = mapped(rows, u, v);
    std::vector<float> queries = gaussian(kQueries * kDim, 1.0f, 4);
    std::copy_n(adapted.data(), 30 * kDim, queries.data());  // rows themselves, as mapped
    const RowsView all = view(rows, kDim);
    const auto map = low_rank(u, v, kDim);
    for (const Metric metric : kMetrics) {
        for (int kind = 0; kind < kKinds; ++kind) {
            const auto index = make(kind, metric, all);
            RowsView part = all;
            part.rows = 500;
            index->add(part, nullptr, false, 2);
            index->add_corpus_adapter("a", map, 2);
            part = {all.row(500), kRows - 500, kDim, all.stride, DType::kF32};
            index->add(part, nullptr, false, 2);  // described as they come
            SearchOptions options = everywhere({{"a", 1.0}});
            const Answer whole = ask(*index, queries, kWanted, kQueries, options);
            judge(metric, queries, adapted, whole);
            for (const std::size_t batch : {std::size_t{1}, std::size_t{9}}) {
                CHECK(ask(*index, queries, kWanted, batch, options) == whole);
            }
            // A walk, and few lists, find most of it.
            options.nprobe = 3;
            options.ef_search = 40;
            const Answer some = ask(*index, queries, kWanted, kQueries, options);
            std::size_t same = 0;
            for (std::size_t i = 0; i < kQueries; ++i) {
                for (std::size_t j = 0; j < kWanted; ++j) {
                    const auto* mine = some.ids.data() + i * kWanted;
                    same += static_cast<std::size_t>(
                        std::count(mine, mine + kWanted, whole.ids[i * kWanted + j]));
                }
            }
            CHECK(same > kQueries * kWanted * 6 / 10);
            CHECK(ask(*index, queries, kWanted, 1, options) == some);
        }
    }
}

TEST(codes_answer_as_their_decoded_rows) {
    const std::vector<float> rows = gaussian(kRows * kDim, 1.0f, 1);
    const std::vector<float> u = gaussian(kDim * kRank, 0.3f, 2);
    const std::vector<float> v = gaussian(kDim * kRank, 0.3f, 3);
    const std::vector<float> queries = gaussian(kQueries * kDim, 1.0f, 4);
    const RowsView all = view(rows, kDim);
    const auto map = low_rank(u, v, kDim);
    for (const char* name : {"sq8", "sq4", "pq5x8", "pq10x4", "opq10x4", "rabitq4"}) {
        for (const Metric metric : kMetrics) {
            for (int way = 0; way < 12; ++way) {
                const int kind = way % 3;
                const bool keeps_rows = way / 3 % 2 == 1;
                const bool residual = way / 6 == 1;
                if (residual && kind != 2) continue;
                auto coding = std::make_shared<RowCoding>();
                coding->quantizer = make_quantizer(name, kDim);
                coding->keeps_rows = keeps_rows;
                coding->residual = residual;
                const auto index = make(kind, metric, all, coding);
                if (!index->is_trained()) index->train(all, 1);
                index->add(all, nullptr, false, 2);
                index->add_corpus_adapter("a", map, 2);
                std::vector<std::int64_t> ids(kRows);
                std::iota(ids.begin(), ids.end(), 0);
                std::vector<float> kept(kRows * kDim);
                index->reconstruct(ids, {}, kept.data());
                std::vector<long double> adapted = mapped(kept, u, v);
                SearchOptions options = everywhere({{"a", 1.0}});
                options.rerank = kRows;
                options.epsilon = INFINITY;
                const Answer whole = ask(*index, queries, kWanted, kQueries, options);
                const bool by_ratio = metric == Metric::kCosine && !keeps_rows;
                judge_codes(metric, queries, kept, adapted, by_ratio, whole);
                CHECK(ask(*index, queries, kWanted, 1, options) == whole);
            }
        }
    }
}
