// Walk: where a horizon ends it, and the distances by which it does.
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "check.h"
#include "index/hnsw/bulk.h"
#include "index/hnsw/new_graph.h"
#include "index/hnsw/walk.h"
#include "index/row_store.h"

namespace {

using namespace nearfield;

constexpr std::size_t kRows = 3000;
constexpr std::size_t kDim = 40;
constexpr std::size_t kBreadth = 200;
constexpr std::size_t kWanted = 10;

std::vector<float> rows_of(std::size_t n, std::uint64_t seed, double length) {
    Random random(seed);
    std::vector<float> rows(n * kDim);
    for (std::size_t i = 0; i < n; ++i) {
        float* const row = rows.data() + i * kDim;
        double square = 0.0;
        for (std::size_t d = 0; d < kDim; ++d) {
            row[d] = random.uniform_float() - 0.3f;
            square += static_cast<double>(row[d]) * static_cast<double>(row[d]);
        }
        if (length == 0.0) continue;
        for (std::size_t d = 0; d < kDim; ++d) {
            row[d] = static_cast<float>(static_cast<double>(row[d]) * length / std::sqrt(square));
        }
    }
    return rows;
}

/// Rows, and the graph over them as an index has it.
struct Made {
    Made(std::vector<float> values, Metric metric)
        : rows(std::move(values)),
          store(RowStore::borrow({rows.data(), kRows, kDim, kDim * 4, DType::kF32}, metric, 1)),
          view(store.view(nullptr)) {
        Graph empty = new_graph(view, kRows, {8, 60, 0});
        const RowReader reader(view, empty.codes.unit());
        graph = build_graph(reader, kRows, std::move(empty), 1);
        measure_length(graph, reader);
    }

    std::vector<float> rows;
    RowStore store;
    StoredRows view;
    Graph graph;
};

/// Half the squared distance from a query, as walks have it, to a node; under ip and cosine both of unit length.
double half_distance(const Made& made, const float* query, Id node, Metric metric) {
    const float* const row = made.rows.data() + made.graph.row(node) * kDim;
    const double unit = made.graph.codes.unit();
    double dot = 0.0, row_square = 0.0, query_square = 0.0;
    for (std::size_t d = 0; d < kDim; ++d) {
        const double x = static_cast<double>(row[d]) * unit;
        const double q = static_cast<double>(query[d]) * unit;
        dot += x * q;
        row_square += x * x;
        query_square += q * q;
    }
    if (metric == Metric::kL2) return 0.5 * (row_square + query_square) - dot;
    return 1.0 - dot / std::sqrt(row_square * query_square);
}

/// What half_distance() is multiplied with to get differences of scores.
double scale_of(const Made& made, const float* query, Metric metric) {
    if (metric == Metric::kL2) return 1.0;
    const double unit = made.graph.codes.unit();
    const auto norm = [&](const float* x) {
        return unit * std::sqrt(std::inner_product(x, x + kDim, x, 0.0));
    };
    return norm(query) * (metric == Metric::kIp ? norm(made.rows.data()) : 1.0);
}

void scores_tell_distances(const Made& made, const float* query, Metric metric) {
    WalkQuery prepared;
    made.graph.codes.prepare(query, made.graph.codes.unit(), prepared);
    CHECK(std::isfinite(prepared.highest));
    std::vector<Id> nodes(kRows);
    std::iota(nodes.begin(), nodes.end(), Id{0});
    std::vector<float> scores(kRows);
    made.graph.codes.scores(prepared, nodes.data(), kRows, scores.data());
    const double scale = scale_of(made, query, metric);
    double sum = 0.0;
    for (const Id node : nodes) {
        const double error = prepared.highest - static_cast<double>(scores[node]) -
                             scale * half_distance(made, query, node, metric);
        CHECK(std::fabs(error) < 6.0 * prepared.noise);
        sum += error * error;
    }
    const double deviation = std::sqrt(sum / static_cast<double>(kRows));
    CHECK(deviation < 2.0 * prepared.noise && deviation > prepared.noise / 10.0);
}

/// The nodes followed, and the best ones found.
struct Walked {
    std::size_t followed;
    std::vector<Id> found;
};

Walked walk(const Graph& graph, const WalkQuery& query, const Horizon& horizon) {
    Walk walk;
    const Id entry = descend(graph, 0, query, walk);
    walk.start(graph, 0, entry, query, kBreadth, horizon);
    walk.run();
    std::vector<Id> found;
    for (std::size_t i = 0; i < std::min(kWanted, walk.found().size()); ++i) {
        found.push_back(walk.found().node(i));
    }
    return {walk.followed(), std::move(found)};
}

void horizons_end_walks(const Graph& graph, const WalkQuery& query) {
    const Walked endless = walk(graph, query, {});
    std::size_t last = 0;
    for (const double stretch : {1.0, 1.1, 1.3, 2.0, 1e9}) {
        const Walked ended = walk(graph, query, {kWanted, stretch});
        CHECK_EQ(ended.found.size(), kWanted);
        CHECK(ended.followed >= last && ended.followed <= endless.followed);
        last = ended.followed;
        if (stretch == 1e9) {
            CHECK(ended.found == endless.found);
            CHECK_EQ(ended.followed, endless.followed);
        }
    }
    CHECK(walk(graph, query, {kWanted, 1.0}).followed < endless.followed / 2);
}

void known_distances(Metric metric) {
    // Under ip rows of one length, which is none of a power of two.
    const Made made(rows_of(kRows, 5, metric == Metric::kIp ? 2.9 : 0.0), metric);
    const std::vector<float> queries = rows_of(20, 6, 0.0);
    for (std::size_t i = 0; i < 20; ++i) {
        const float* const query = queries.data() + i * kDim;
        scores_tell_distances(made, query, metric);
        WalkQuery prepared;
        made.graph.codes.prepare(query, made.graph.codes.unit(), prepared);
        horizons_end_walks(made.graph, prepared);
    }
}

}  // namespace

TEST(l2) { known_distances(Metric::kL2); }

TEST(cosine) { known_distances(Metric::kCosine); }

TEST(inner_products_of_rows_of_one_length) { known_distances(Metric::kIp); }

TEST(where_distance_is_not_known_walks_do_not_end) {
    const Made made(rows_of(kRows, 5, 0.0), Metric::kIp);
    const std::vector<float> query = rows_of(1, 6, 0.0);
    WalkQuery prepared;
    made.graph.codes.prepare(query.data(), made.graph.codes.unit(), prepared);
    CHECK(!std::isfinite(prepared.highest));
    const Walked endless = walk(made.graph, prepared, {});
    const Walked same = walk(made.graph, prepared, {kWanted, 1.0});
    CHECK_EQ(same.followed, endless.followed);
    CHECK(same.found == endless.found);
}
