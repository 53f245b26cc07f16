// What the graph sees of rows: RowReader over every kind of store, the scores of WalkCodes against float64,
// the same bytes for any split, any number of threads and on every level, and which nodes rise.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "base/random.h"
#include "index/hnsw/graph.h"
#include "index/hnsw/row_reader.h"
#include "index/hnsw/walk_codes.h"
#include "index/row_store.h"
#include "quant/at_level.h"
#include "quant/data.h"
#include "quant/raw/exact.h"

using namespace nearfield;

namespace {

constexpr Metric kMetrics[] = {Metric::kL2, Metric::kIp, Metric::kCosine};
constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8, DType::kU8};

RowStore store_of(Metric metric, const data::Rows& rows) {
    RowStore store(rows.dim, metric, rows.dtype);
    store.append(
        {rows.bytes.data(), rows.count, rows.dim, rows.dim * size_of(rows.dtype), rows.dtype},
        nullptr, {}, 1);
    return store;
}

RowStore store_of(Metric metric, const std::vector<float>& x, std::size_t dim) {
    return store_of(metric, data::store(DType::kF32, x.size() / dim, dim, x));
}

std::vector<float> gaussian_rows(std::size_t n, std::size_t dim, double shift, Random& random) {
    std::vector<float> x(n * dim);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double mean = shift * std::sin(static_cast<double>(i % dim));
        x[i] = static_cast<float>(mean + data::gaussian(random));
    }
    return x;
}

std::vector<float> read_all(const RowReader& reader, std::size_t n) {
    std::vector<float> x(n * reader.dim());
    for (std::size_t i = 0; i < n; ++i) {
        reader.prefetch(static_cast<Id>(i));
        reader.read(static_cast<Id>(i), x.data() + i * reader.dim());
    }
    return x;
}

std::vector<float> mean_of(const std::vector<float>& x, std::size_t dim) {
    std::vector<double> sum(dim);
    for (std::size_t i = 0; i < x.size(); ++i) sum[i % dim] += x[i];
    std::vector<float> mean(dim);
    const auto n = static_cast<double>(x.size() / dim);
    for (std::size_t k = 0; k < dim; ++k) mean[k] = static_cast<float>(sum[k] / n);
    return mean;
}

std::vector<Id> ids(std::size_t n) {
    std::vector<Id> all(n);
    std::iota(all.begin(), all.end(), 0);
    return all;
}

/// Rows with everything that is made of them.
struct Problem {
    Problem(Metric metric, std::vector<float> rows, std::size_t dim_in, int threads = 1)
        : dim(dim_in),
          count(rows.size() / dim_in),
          store(store_of(metric, rows, dim_in)),
          view(store.view(nullptr)),
          unit(RowReader::unit_of(view, count)),
          reader(view, unit),
          x(read_all(reader, count)),
          codes(dim, metric, 5, mean_of(x, dim), unit) {
        codes.append(reader, ids(count), threads);
    }

    std::vector<float> scores(const float* query) const {
        WalkQuery prepared;
        codes.prepare(query, codes.unit(), prepared);
        std::vector<float> out(count, NAN);
        codes.scores(prepared, ids(count).data(), count, out.data());
        return out;
    }

    std::size_t dim;
    std::size_t count;
    RowStore store;
    StoredRows view;
    double unit;
    RowReader reader;
    std::vector<float> x;
    WalkCodes codes;
};

bool same_bytes(const WalkCodes& a, const WalkCodes& b) {
    return a.bytes() == b.bytes() &&
           std::memcmp(a.records().data(), b.records().data(), a.bytes()) == 0;
}

std::uint64_t digest(const void* data, std::size_t n, std::uint64_t hash) {
    for (std::size_t i = 0; i < n; ++i) {
        hash = (hash ^ static_cast<const std::uint8_t*>(data)[i]) * 1099511628211ULL;
    }
    return hash;
}

/// Scores of one query against what its row's code and its own rounding allow.
void check_scores(const Problem& p, Metric metric, const float* query) {
    const RabitqCodec codec(p.dim, 4, 5);
    RabitqCodec::Scratch scratch(codec);
    std::vector<std::uint8_t> code(codec.code_size());
    std::vector<std::uint8_t> bytes(codec.rotated_dim());
    const float* const centre = p.codes.centre().data();
    std::vector<double> q(p.dim);
    double q_norm = 0.0;
    for (std::size_t k = 0; k < p.dim; ++k) {
        q[k] = double{query[k]} * p.unit - (metric == Metric::kL2 ? double{centre[k]} : 0.0);
        q_norm += q[k] * q[k];
    }
    q_norm = std::sqrt(q_norm);
    const std::vector<float> found = p.scores(query);
    for (std::size_t i = 0; i < p.count; ++i) {
        const float* const x = p.x.data() + i * p.dim;
        CHECK(codec.encode(x, centre, scratch, code.data()));
        codec.unpack(code.data(), bytes.data());
        const RabitqFactors factors = codec.factors(code.data());
        double y = 0.0;
        for (const std::uint8_t b : bytes) y += (b - 7.5) * (b - 7.5);
        double expected = 0.0;
        double squared = 0.0;
        for (std::size_t k = 0; k < p.dim; ++k) {
            const double r = double{x[k]} - double{centre[k]};
            expected += q[k] * r;
            squared += r * r;
        }
        if (metric == Metric::kL2) expected -= squared / 2.0;
        const double length = double{factors.unbiased} * std::sqrt(y);
        const double n = static_cast<double>(bytes.size());
        // A step is at most |q| / 127, and sums are of up to 15 and 127 times n numbers.
        const double rounding = q_norm / 127.0 * 0.5 * std::sqrt(n) * length;
        const double floats = 0x1p-16 * squared + 0x1p-15 * q_norm * length +
                              0x1p-20 * q_norm * n * double{factors.unbiased};
        const double allowed = q_norm * double{factors.error()} + rounding + floats;
        CHECK(std::abs(double{found[i]} - expected) <= allowed);
    }
}

double correlation(const std::vector<double>& a, const std::vector<float>& b) {
    const auto n = static_cast<double>(a.size());
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double y = b[i];
        sa += a[i], sb += y, saa += a[i] * a[i], sbb += y * y, sab += a[i] * y;
    }
    return (sab - sa * sb / n) / std::sqrt((saa - sa * sa / n) * (sbb - sb * sb / n));
}

}  // namespace

TEST(scores_are_as_close_as_codes_are) {
    Random random(1);
    for (const Metric metric : kMetrics) {
        for (const std::size_t dim : {1U, 3U, 8U, 63U, 64U, 100U, 128U, 129U, 384U, 1000U}) {
            const Problem p(metric, gaussian_rows(150, dim, 1.0, random), dim);
            CHECK_EQ(p.codes.count(), p.count);
            for (int i = 0; i < 3; ++i) {
                const auto query = gaussian_rows(1, dim, 1.0, random);
                check_scores(p, metric, query.data());
            }
            check_scores(p, metric, std::vector<float>(dim, 0.0f).data());
        }
    }
}

TEST(scores_rank_as_true_scores_do) {
    Random random(2);
    for (const Metric metric : kMetrics) {
        for (const std::size_t dim : {63U, 100U, 128U, 384U, 1000U}) {
            const Problem p(metric, gaussian_rows(400, dim, 0.5, random), dim);
            const auto query = gaussian_rows(1, dim, 0.5, random);
            const ExactScorer scorer = p.view.kept_scorer();
            std::vector<double> expected(p.count);
            for (std::size_t i = 0; i < p.count; ++i) {
                expected[i] = scorer.key(query.data(), static_cast<Id>(i));
            }
            CHECK(correlation(expected, p.scores(query.data())) > 0.985);
        }
    }
}

TEST(any_split_and_any_threads_give_the_same_bytes) {
    Random random(3);
    for (const Metric metric : kMetrics) {
        for (const std::size_t dim : {1U, 20U, 100U, 136U}) {
            const auto rows = gaussian_rows(700, dim, 1.0, random);
            const Problem whole(metric, rows, dim);
            for (const int threads : {2, 3, 0}) {
                CHECK(same_bytes(Problem(metric, rows, dim, threads).codes, whole.codes));
            }
            WalkCodes parts(dim, metric, 5, mean_of(whole.x, dim), whole.unit);
            const auto all = ids(whole.count);
            for (std::size_t first = 0; first < all.size();) {
                const std::size_t n = std::min<std::size_t>(all.size() - first, 1 + first * 2);
                const WalkCodes before = parts;
                parts.append(whole.reader, {all.data() + first, n}, 2);
                CHECK_EQ(before.count(), first);
                first += n;
            }
            parts.append(whole.reader, {}, 2);
            CHECK(same_bytes(parts, whole.codes));

            auto shuffled = all;
            random.shuffle(shuffled.data(), shuffled.size());
            const WalkCodes taken = whole.codes.taken(shuffled, 2);
            WalkCodes again(dim, metric, 5, mean_of(whole.x, dim), whole.unit);
            again.append(whole.reader, shuffled, 1);
            CHECK(same_bytes(taken, again));
            CHECK_EQ(whole.codes.taken({}, 1).count(), std::size_t{0});
        }
    }
}

TEST(records_are_as_small_as_promised) {
    for (const auto& [dim, bytes] :
         {std::pair{384U, 200U}, {100U, 64U}, {128U, 72U}, {1U, 64U}, {130U, 128U}}) {
        WalkCodes codes(dim, Metric::kL2, 1, std::vector<float>(dim), 1.0);
        const auto store = store_of(Metric::kL2, std::vector<float>(dim, 1.0f), dim);
        const StoredRows view = store.view(nullptr);
        codes.append(RowReader(view, 1.0), ids(1), 1);
        CHECK_EQ(codes.bytes(), std::size_t{bytes});
    }
}

TEST_AT_LEVELS(scores_do_not_depend_on_the_level) {
    Random random(4);
    std::string found;
    for (const std::size_t dim : {8U, 100U, 129U, 384U}) {
        std::uint64_t hash = 1469598103934665603ULL;
        for (const Metric metric : kMetrics) {
            for (const std::string& kind : data::kinds()) {
                const Problem p(metric, data::draw(kind, 20, dim, 1e30, random), dim);
                hash = digest(p.codes.records().data(), p.codes.bytes(), hash);
                const auto scores = p.scores(gaussian_rows(1, dim, 0.0, random).data());
                hash = digest(scores.data(), scores.size() * sizeof(float), hash);
            }
        }
        found += std::to_string(hash % 10000) + " ";
    }
    CHECK_EQ(found, "2730 193 3444 3006 ");
}

TEST(extreme_norms_stay_finite) {
    Random random(5);
    for (const Metric metric : kMetrics) {
        for (const std::size_t dim : {1U, 100U, 384U}) {
            for (const std::string& kind : data::kinds()) {
                const Problem p(metric, data::draw(kind, 60, dim, 3e38, random), dim);
                for (const float v : p.x) CHECK(std::isfinite(v));
                for (const std::string& other : data::kinds()) {
                    const auto query = data::draw(other, 1, dim, 3e38, random);
                    for (const float s : p.scores(query.data())) CHECK(std::isfinite(s));
                }
                for (const float v : {3e38f, -3e38f, 1e20f, 1e-20f, 1e-45f}) {
                    const std::vector<float> query(dim, v);
                    for (const float s : p.scores(query.data())) CHECK(std::isfinite(s));
                }
            }
        }
    }
}

TEST(scale_does_not_change_the_ranking) {
    Random random(6);
    const std::size_t dim = 100;
    for (const Metric metric : kMetrics) {
        const auto rows = gaussian_rows(300, dim, 0.5, random);
        const auto query = gaussian_rows(1, dim, 0.5, random);
        const auto usual = Problem(metric, rows, dim).scores(query.data());
        for (const float scale : {0x1p-66f, 0x1p66f}) {
            auto scaled = rows;
            auto scaled_query = query;
            for (float& v : scaled) v *= scale;
            for (float& v : scaled_query) v *= scale;
            const auto found = Problem(metric, scaled, dim).scores(scaled_query.data());
            for (std::size_t i = 0; i < usual.size(); ++i) {
                for (std::size_t j = 0; j < i; ++j) {
                    CHECK_EQ(usual[i] < usual[j], found[i] < found[j]);
                }
            }
        }
    }
}

TEST(the_far_rank_last_under_l2) {
    Random random(7);
    auto rows = gaussian_rows(50, 20, 0.0, random);
    for (std::size_t k = 0; k < 20; ++k) rows[7 * 20 + k] = 1e30f;
    const Problem p(Metric::kL2, rows, 20);
    const auto scores = p.scores(rows.data());
    CHECK_EQ(std::min_element(scores.begin(), scores.end()) - scores.begin(), std::ptrdiff_t{7});
}

TEST(rows_of_every_type_are_read) {
    Random random(8);
    const std::size_t dim = 37;
    const std::size_t n = 90;
    for (const DType dtype : kDTypes) {
        auto drawn = data::draw("integers", n, dim, 100.0, random);
        std::fill_n(drawn.begin() + 3 * dim, dim, 0.0f);
        if (dtype == DType::kU8) {
            for (float& v : drawn) v = std::abs(v);
        }
        const data::Rows rows = data::store(dtype, n, dim, drawn);
        for (const Metric metric : kMetrics) {
            const RowStore store = store_of(metric, rows);
            const StoredRows view = store.view(nullptr);
            const double unit = RowReader::unit_of(view, n);
            const RowReader reader(view, unit);
            CHECK_EQ(reader.dim(), dim);
            CHECK(reader.metric() == metric);
            const auto x = read_all(reader, n);
            for (std::size_t i = 0; i < n; ++i) {
                const float* const row = drawn.data() + i * dim;
                const double norm = norm_of(row, dim);
                const double divisor = norm > 0.0 ? norm : 1.0;
                for (std::size_t k = 0; k < dim; ++k) {
                    const double expected =
                        metric == Metric::kCosine ? row[k] / divisor : row[k] * unit;
                    CHECK_EQ(x[i * dim + k], static_cast<float>(expected));
                }
            }
        }
    }
}

TEST(rows_that_are_codes_alone_are_decoded) {
    Random random(9);
    const std::size_t dim = 24;
    const std::size_t n = 400;
    auto rows = gaussian_rows(n, dim, 0.0, random);
    for (float& v : rows) v *= 16.0f;
    for (const std::string name : {"sq8", "rabitq4"}) {
        for (const Metric metric : kMetrics) {
            auto coding = std::make_shared<RowCoding>();
            auto unit_rows = rows;
            if (metric == Metric::kCosine) {
                for (std::size_t i = 0; i < n; ++i) normalise(unit_rows.data() + i * dim, dim);
            }
            auto quantizer = make_quantizer(name, dim);
            quantizer->train({unit_rows.data(), n, dim}, 1, 1);
            coding->set_quantizer(std::move(quantizer));
            RowStore store(dim, metric, DType::kF32);
            store.coding = coding;
            store.append({rows.data(), n, dim, dim * 4, DType::kF32}, nullptr, {}, 1);
            const StoredRows view = store.view(nullptr);
            CHECK(view.rows.data == nullptr);
            const double unit = RowReader::unit_of(view, n);
            if (metric == Metric::kCosine) {
                CHECK_EQ(unit, 1.0);
            } else {
                CHECK_EQ(unit, 0x1p-6);  // norms are about 78
            }
            const auto x = read_all(RowReader(view, unit), n);
            std::vector<float> decoded(dim);
            for (std::size_t i = 0; i < n; ++i) {
                view.coded->rows.read(i, 1, decoded.data());
                if (metric == Metric::kCosine) normalise(decoded.data(), dim);
                for (std::size_t k = 0; k < dim; ++k) {
                    CHECK_EQ(x[i * dim + k], static_cast<float>(decoded[k] * unit));
                }
            }
        }
    }
}

TEST(units_follow_the_middle_norm) {
    const auto unit = [](Metric metric, std::vector<float> norms) {
        const RowStore store = store_of(metric, norms, 1);
        return RowReader::unit_of(store.view(nullptr), norms.size());
    };
    CHECK_EQ(unit(Metric::kL2, {1e-30f, 5.0f, 1e30f}), 0.25);
    CHECK_EQ(unit(Metric::kIp, {0.0f, 0.0f, 0.0f, -0.3f}), 4.0);
    CHECK_EQ(unit(Metric::kIp, {0.0f, 0.0f}), 1.0);
    CHECK_EQ(unit(Metric::kCosine, {100.0f, 100.0f}), 1.0);
    CHECK_EQ(RowReader::unit_of(RowStore(3, Metric::kL2, DType::kF32).view(nullptr), 0), 1.0);
    std::vector<float> rising(5000);
    std::iota(rising.begin(), rising.end(), 1.0f);
    CHECK_EQ(unit(Metric::kL2, rising), 0x1p-11);
}

TEST(one_of_m_nodes_rises) {
    for (const std::size_t m : {2U, 16U, 48U}) {
        const GraphSpec spec{.m = m, .seed = 3};
        const GraphSpec other{.m = m, .seed = 4};
        std::size_t count[3] = {};
        std::size_t both = 0;
        const std::size_t n = 200000;
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t level = 0; level < 3; ++level) count[level] += rises(spec, level, i);
            both += rises(spec, 0, i) && rises(spec, 1, i);
            CHECK_EQ(rises(spec, 0, i), rises(GraphSpec{.m = m, .seed = 3}, 0, i));
        }
        const auto expected = static_cast<double>(n) / static_cast<double>(m);
        for (const std::size_t c : count) {
            CHECK(std::abs(static_cast<double>(c) - expected) < 6.0 * std::sqrt(expected));
        }
        const double twice = expected / static_cast<double>(m);
        CHECK(std::abs(static_cast<double>(both) - twice) < 6.0 * std::sqrt(twice));
        std::size_t differ = 0;
        for (std::size_t i = 0; i < 1000; ++i) differ += rises(spec, 0, i) != rises(other, 0, i);
        CHECK(differ > 10);
    }
}

TEST(bytes_of_a_graph_are_those_of_its_parts) {
    Random random(10);
    Problem p(Metric::kL2, gaussian_rows(10, 8, 0.0, random), 8);
    Graph graph;
    CHECK_EQ(graph.bytes(), std::size_t{0});
    graph.codes = p.codes;
    graph.levels.resize(2);
    graph.levels[0].nodes.extend(40);
    graph.levels[1].nodes.extend(8);
    graph.levels[1].below.extend(8);
    CHECK_EQ(graph.bytes(), p.codes.bytes() + 56);
}
