// build_graph: links that are valid, the same for any number of threads, from where every node is reached; a
// search over them finds what is nearest. Rows that are equal, few, far apart or of no length.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <set>
#include <vector>

#include "base/cpu.h"
#include "base/random.h"
#include "check.h"
#include "index/hnsw/bulk.h"
#include "index/hnsw/reach.h"
#include "index/row_store.h"

namespace {

using namespace nearfield;

struct Rows {
    std::vector<float> values;
    std::size_t n;
    std::size_t dim;

    float* row(std::size_t i) { return values.data() + i * dim; }
    const float* row(std::size_t i) const { return values.data() + i * dim; }
};

Rows rows_of(std::size_t n, std::size_t dim, const std::function<float(std::size_t, Random&)>& at) {
    Rows rows{std::vector<float>(n * dim), n, dim};
    Random random(7);
    for (std::size_t i = 0; i < n * dim; ++i) rows.values[i] = at(i / dim, random);
    return rows;
}

float gaussian(Random& random) {
    float sum = -6.0f;
    for (int i = 0; i < 12; ++i) sum += random.uniform_float();
    return sum;
}

Rows clustered(std::size_t n, std::size_t dim, std::size_t clusters, float apart) {
    Random random(11);
    std::vector<float> centres(clusters * dim);
    for (float& x : centres) x = apart * gaussian(random);
    Rows rows{std::vector<float>(n * dim), n, dim};
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t c = random.below(clusters);
        for (std::size_t d = 0; d < dim; ++d) {
            rows.row(i)[d] = centres[c * dim + d] + gaussian(random);
        }
    }
    return rows;
}

Graph build(const Rows& rows, int threads, std::size_t m = 8, Metric metric = Metric::kL2) {
    const RowStore store = RowStore::borrow(
        {rows.values.data(), rows.n, rows.dim, rows.dim * 4, DType::kF32}, metric, 1);
    const StoredRows view = store.view(nullptr);
    const double unit = RowReader::unit_of(view, rows.n);
    const RowReader reader(view, unit);
    std::vector<float> centre(rows.dim);
    std::vector<float> x(rows.dim);
    for (std::size_t i = 0; i < rows.n; ++i) {
        reader.read(static_cast<Id>(i), x.data());
        for (std::size_t d = 0; d < rows.dim; ++d) {
            centre[d] += x[d] / static_cast<float>(rows.n);
        }
    }
    Graph empty;
    empty.spec.m = m;
    empty.by_distance = metric != Metric::kIp;
    empty.codes = WalkCodes(rows.dim, metric, 0, centre, unit);
    return build_graph(reader, rows.n, std::move(empty), threads);
}

std::vector<Id> links_of(const Level& level, std::size_t node) {
    std::vector<Id> ids(level.links.width());
    ids.resize(level.links.read(node, ids.data()));
    return ids;
}

void check_level(const Graph& graph, std::size_t l) {
    const Level& level = graph.levels[l];
    const std::size_t n = level.count();
    if (level.links.width() == 0) {
        CHECK(l > 0 && l + 1 == graph.levels.size() && n <= kTopNodes);
        return;
    }
    CHECK_EQ(level.links.width(), l == 0 ? 2 * graph.spec.m : graph.spec.m);
    CHECK_EQ(level.links.count(), n);
    for (std::size_t i = 0; i < n; ++i) {
        const std::vector<Id> ids = links_of(level, i);
        const std::set<Id> different(ids.begin(), ids.end());
        CHECK_EQ(different.size(), ids.size());
        for (const Id id : ids) CHECK(id < n && id != i);
    }
}

/// What has to hold for any rows.
void check_graph(const Graph& graph, std::size_t n) {
    CHECK_EQ(graph.count(), n);
    CHECK_EQ(graph.codes.count(), n);
    std::vector<Id> rows(graph.levels[0].ids(), graph.levels[0].ids() + n);
    std::sort(rows.begin(), rows.end());
    for (std::size_t i = 0; i < n; ++i) CHECK_EQ(rows[i], i);
    for (std::size_t l = 0; l < graph.levels.size(); ++l) check_level(graph, l);
    CHECK(graph.levels.back().count() <= kTopNodes);
    for (std::size_t l = 1; l < graph.levels.size(); ++l) {
        const Level& level = graph.levels[l];
        const Level& under = graph.levels[l - 1];
        CHECK(level.count() > 0);
        std::set<Id> risen;
        for (std::size_t i = 0; i < level.count(); ++i) {
            const Id down = l == 1 ? level.ids()[i] : level.below.as<Id>()[i];
            CHECK(down < under.count());
            CHECK(level.count() == 1 || rises(graph.spec, l - 1, down));
            if (l > 1) CHECK_EQ(level.ids()[i], under.ids()[down]);
            risen.insert(down);
        }
        CHECK_EQ(risen.size(), level.count());
    }
    CHECK_EQ(count_reached(graph), n);
}

void check_same(const Graph& a, const Graph& b) {
    CHECK_EQ(a.levels.size(), b.levels.size());
    for (std::size_t l = 0; l < a.levels.size(); ++l) {
        const auto same = [](const Column& x, const Column& y) {
            return x.bytes() == y.bytes() &&
                   (x.bytes() == 0 || std::memcmp(x.data(), y.data(), x.bytes()) == 0);
        };
        CHECK(same(a.levels[l].nodes, b.levels[l].nodes));
        CHECK(same(a.levels[l].below, b.levels[l].below));
        CHECK(same(a.levels[l].links.records(), b.levels[l].links.records()));
    }
}

float distance(const float* a, const float* b, std::size_t dim) {
    float sum = 0.0f;
    for (std::size_t d = 0; d < dim; ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
    return sum;
}

/// A plain best-first search from every node of the top level.
std::vector<Id> search(const Graph& graph, const Rows& rows, const float* query,
                       std::size_t breadth) {
    const Level& level = graph.levels[0];
    std::set<std::pair<float, Id>> open;
    std::set<std::pair<float, Id>> best;
    std::vector<bool> seen(graph.count());
    const auto see = [&](Id node) {
        if (seen[node]) return;
        seen[node] = true;
        const std::pair<float, Id> found{distance(query, rows.row(graph.row(node)), rows.dim),
                                         node};
        if (best.size() >= breadth && found > *best.rbegin()) return;
        open.insert(found);
        best.insert(found);
        if (best.size() > breadth) best.erase(std::prev(best.end()));
    };
    const Level& top = graph.levels.back();
    for (std::size_t i = 0; i < top.count(); ++i)
        see(graph.levels.size() == 1 ? static_cast<Id>(i) : top.ids()[i]);
    while (!open.empty()) {
        const auto next = *open.begin();
        if (best.size() >= breadth && next > *best.rbegin()) break;
        open.erase(open.begin());
        for (const Id id : links_of(level, next.second)) see(id);
    }
    std::vector<Id> found;
    for (const auto& [_, node] : best) found.push_back(graph.row(node));
    return found;
}

double recall(const Graph& graph, const Rows& rows, const Rows& queries, std::size_t breadth) {
    constexpr std::size_t kWanted = 10;
    std::size_t hits = 0;
    for (std::size_t q = 0; q < queries.n; ++q) {
        std::vector<std::pair<float, Id>> truth;
        for (std::size_t i = 0; i < rows.n; ++i) {
            truth.push_back({distance(queries.row(q), rows.row(i), rows.dim), static_cast<Id>(i)});
        }
        std::partial_sort(truth.begin(), truth.begin() + kWanted, truth.end());
        const std::vector<Id> found = search(graph, rows, queries.row(q), breadth);
        for (std::size_t i = 0; i < std::min(kWanted, found.size()); ++i) {
            hits += static_cast<std::size_t>(
                distance(queries.row(q), rows.row(found[i]), rows.dim) <= truth[kWanted - 1].first);
        }
    }
    return static_cast<double>(hits) / static_cast<double>(kWanted * queries.n);
}

/// Of everything that searches see, built in a process of its own at this level.
std::uint64_t graph_hash_at(Isa isa, const Rows& rows, Metric metric) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        setenv("NEARFIELD_ISA", isa_name(isa), 1);
        const Graph graph = build(rows, 2, 8, metric);
        std::uint64_t hash = 0;
        for (const Level& level : graph.levels) {
            for (const Column* column : {&level.nodes, &level.below, &level.links.records()}) {
                for (std::size_t i = 0; i < column->bytes() / sizeof(Id); ++i) {
                    hash ^= column->as<Id>()[i];
                    hash = splitmix64(hash);
                }
            }
        }
        _exit(write(ends[1], &hash, sizeof hash) == sizeof hash ? 0 : 1);
    }
    close(ends[1]);
    std::uint64_t hash = 0;
    CHECK_EQ(read(ends[0], &hash, sizeof hash), static_cast<ssize_t>(sizeof hash));
    close(ends[0]);
    waitpid(child, nullptr, 0);
    return hash;
}

}  // namespace

// First, while no thread has been started: the processes that are forked start their own.
TEST(any_level) {
    for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
        const Rows rows = clustered(2500, 70, 20, 1.0f);
        const std::uint64_t plain = graph_hash_at(Isa::kPortable, rows, metric);
        for (const Isa isa : available_isas()) CHECK_EQ(graph_hash_at(isa, rows, metric), plain);
    }
}

TEST(few_rows) {
    for (const std::size_t n : {1, 2, 3, 10, 300, 1000}) {
        const Rows rows =
            rows_of(n, 5, [](std::size_t, Random& random) { return gaussian(random); });
        check_graph(build(rows, 1), n);
    }
}

TEST(any_number_of_threads) {
    const Rows rows = clustered(6000, 24, 40, 2.0f);
    const Graph one = build(rows, 1);
    check_graph(one, rows.n);
    CHECK(one.levels.size() >= 3);
    for (const int threads : {2, 5}) check_same(one, build(rows, threads));
}

TEST(finds_what_is_near) {
    const Rows rows = clustered(8000, 16, 30, 1.0f);
    const Rows queries = clustered(100, 16, 30, 1.0f);
    const double found = recall(build(rows, 2), rows, queries, 64);
    std::printf("recall %.3f\n", found);
    CHECK(found > 0.97);
}

TEST(clusters_far_apart) {
    const Rows rows = clustered(6000, 16, 12, 100.0f);
    const Rows queries = clustered(100, 16, 12, 100.0f);
    const Graph graph = build(rows, 2);
    check_graph(graph, rows.n);
    const double found = recall(graph, rows, queries, 64);
    std::printf("recall %.3f\n", found);
    CHECK(found > 0.95);
}

TEST(equal_rows) {
    for (const float value : {0.0f, 3.0f}) {
        const Rows rows = rows_of(5000, 9, [&](std::size_t, Random&) { return value; });
        for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
            check_graph(build(rows, 2, 8, metric), rows.n);
        }
    }
}

TEST(many_equal_rows) {
    Rows rows = clustered(6000, 16, 30, 1.0f);
    for (std::size_t i = 0; i < rows.n; ++i) {
        if (i % 4 != 0) std::copy_n(rows.row(i % 50 * 4), rows.dim, rows.row(i));
    }
    check_graph(build(rows, 2), rows.n);
}

TEST(zero_rows_and_outliers) {
    Rows rows = clustered(3000, 16, 30, 1.0f);
    for (std::size_t i = 0; i < rows.n; i += 3) std::fill_n(rows.row(i), rows.dim, 0.0f);
    std::fill_n(rows.row(17), rows.dim, 1e30f);
    std::fill_n(rows.row(18), rows.dim, -1e-30f);
    for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
        check_graph(build(rows, 2, 8, metric), rows.n);
    }
}

TEST(inner_products_of_any_length) {
    Rows rows = clustered(5000, 16, 30, 1.0f);
    Random random(3);
    for (std::size_t i = 0; i < rows.n; ++i) {
        const float length = std::exp(2.0f * gaussian(random));
        for (std::size_t d = 0; d < rows.dim; ++d) rows.row(i)[d] *= length;
    }
    check_graph(build(rows, 2, 8, Metric::kIp), rows.n);
}

// What is equal is one row while links are chosen: the others are found from it, and it from them.
TEST(copies_are_found_together) {
    Rows rows = clustered(4000, 16, 30, 1.0f);
    for (std::size_t i = 0; i < rows.n; ++i) {
        if (i % 2 == 1) std::copy_n(rows.row(i % 20), rows.dim, rows.row(i));
    }
    const Graph graph = build(rows, 2);
    check_graph(graph, rows.n);
    for (std::size_t i = 0; i < 20; ++i) {
        const std::vector<Id> found = search(graph, rows, rows.row(i), 20);
        CHECK_EQ(found.size(), 20U);
        for (const Id row : found) {
            CHECK(i % 2 == 0 || distance(rows.row(i), rows.row(row), rows.dim) == 0.0f);
        }
    }
}

TEST(any_row_is_found) {
    const Rows rows = clustered(3000, 8, 300, 10.0f);
    const Graph graph = build(rows, 2);
    std::size_t found = 0;
    for (std::size_t i = 0; i < rows.n; i += 10) {
        found += static_cast<std::size_t>(search(graph, rows, rows.row(i), 16)[0] == i);
    }
    std::printf("found %zu of 300\n", found);
    CHECK(found >= 297);
}
