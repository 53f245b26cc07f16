#include "index/hnsw/hnsw_index.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/parallel.h"
#include "index/coded_search.h"
#include "index/hnsw/beam.h"
#include "index/hnsw/bulk.h"
#include "index/hnsw/graph_search.h"
#include "index/hnsw/new_graph.h"
#include "index/hnsw/reach.h"
#include "index/hnsw/repair.h"
#include "index/query_subset.h"

namespace nearfield {
namespace {

/// A graph is made anew, in bulk, when so many rows come at once: at least these, and this share of the rows
/// that are there. Inserting costs about twenty times as much a row.
constexpr std::size_t kBulkRows = 1000;
constexpr std::size_t kBulkShare = 8;
/// Likewise once insertions have made the top level so large, which takes about as many as there were rows.
constexpr std::size_t kMostTopNodes = 2 * kTopNodes;
/// Dead nodes a graph carries before it is repaired.
constexpr std::size_t kMinDead = 64;
/// Breadth of a search that is not told any: what most searches want, and what the margin alone should limit.
constexpr std::size_t kUsualBreadth = 64;
constexpr std::size_t kBreadthOfMargin = 1024;
/// Of its breadth, a walk that a margin ends comes to about one node in so many.
constexpr std::size_t kShareOfMargin = 8;
/// Rows that are scored in the time in which a walk comes to one more node.
constexpr double kRowsPerNode = 16.0;
/// Nodes that one task of many describes; at least those of one batch of insertions.
constexpr std::size_t kNodesOfTask = 4096;
constexpr double kCertain = std::numeric_limits<double>::infinity();

/// A walk comes to more nodes the fewer may answer, a scan reads fewer rows. nodes: where all may.
bool scan_is_quicker(std::size_t nodes, std::size_t allowed, std::size_t count) noexcept {
    const auto rows = static_cast<double>(allowed);
    return kRowsPerNode * static_cast<double>(nodes) * static_cast<double>(count) > rows * rows;
}

void check(const GraphSpec& spec) {
    if (spec.m < 2 || spec.m > HnswIndex::kMostM) {
        throw std::invalid_argument("m: got " + std::to_string(spec.m) + ", expected 2 to " +
                                    std::to_string(HnswIndex::kMostM));
    }
    if (spec.ef_construction < 1 || spec.ef_construction > HnswIndex::kMostBreadth) {
        throw std::invalid_argument("ef_construction: got " + std::to_string(spec.ef_construction) +
                                    ", expected 1 to " + std::to_string(HnswIndex::kMostBreadth));
    }
}

}  // namespace

HnswIndex::HnswIndex(std::size_t dim, Metric metric, DType dtype, const GraphSpec& spec,
                     std::shared_ptr<const RowCoding> coding)
    : Index(empty_store(dim, metric, dtype, std::move(coding))), spec_(spec) {
    check(spec);
}

void HnswIndex::append(RowStore& store, const RowsView& rows, const std::int64_t* labels,
                       std::span<const Id> places, int threads) {
    if (store.count + rows.rows > Beam::kMostNodes) {
        throw std::invalid_argument("an HNSW index holds at most " +
                                    std::to_string(Beam::kMostNodes) + " vectors; got " +
                                    std::to_string(store.count + rows.rows));
    }
    Index::append(store, rows, labels, places, threads);
    store.graph = grown(store, threads);
    adapt_nodes(store, threads);
}

void HnswIndex::adapt_nodes(RowStore& store, int threads) const {
    for (NamedAdapter& adapter : store.adapters) {
        auto rows = std::make_shared<RowAdapter>(*adapter.rows);
        adapt_more(*rows, store, threads);
        adapter.rows = std::move(rows);
    }
}

/// Terms stay what they are where nodes are numbered as before and rows are coded in the same unit.
void HnswIndex::adapt_more(RowAdapter& rows, const RowStore& store, int threads) const {
    if (store.spec.metric == Metric::kIp || store.graph == nullptr) return;
    const Graph& graph = *store.graph;
    const std::size_t n = graph.count();
    const bool is_kept = store.coding == nullptr || store.coding->keeps_rows;
    const double* mapped = (is_kept ? rows.norms : rows.code_norms).as<double>();
    if (mapped == nullptr) return;
    const std::size_t known = rows.walk.bytes() / sizeof(float);
    const Column& nodes = graph.levels[0].nodes;
    const bool stay = known <= n && rows.walk_unit == graph.codes.unit() &&
                      (nodes.data() == rows.walked.data() ||
                       std::equal(nodes.as<Id>(), nodes.as<Id>() + known, rows.walked.as<Id>()));
    const std::size_t first = stay ? known : 0;
    if (!stay) rows.walk = Column();
    rows.walked = nodes;
    rows.walk_unit = graph.codes.unit();
    auto* terms = reinterpret_cast<float*>(rows.walk.extend((n - first) * sizeof(float)));
    const bool is_cosine = store.spec.metric == Metric::kCosine;
    // Codes have no lengths of their own under cosine.
    const double* own = is_cosine && is_kept ? store.norms.as<double>() : nullptr;
    const auto describe = [&](std::size_t begin, std::size_t end) {
        for (std::size_t node = begin; node < end; ++node) {
            const Id row = graph.row(static_cast<Id>(node));
            terms[node - first] = graph.codes.term(own != nullptr ? own[row] : 1.0, mapped[row]);
        }
    };
    // Once links have changed in place, nothing may be interrupted, see grown().
    if (n - first <= kNodesOfTask) return describe(first, n);
    parallel_for((n - first + kNodesOfTask - 1) / kNodesOfTask, threads,
                 [&](std::size_t task, int) {
                     const std::size_t begin = first + task * kNodesOfTask;
                     describe(begin, std::min(n, begin + kNodesOfTask));
                 });
}

std::shared_ptr<const Graph> HnswIndex::grown(const RowStore& store, int threads) {
    const StoredRows rows = store.view(nullptr);
    const std::size_t old = store.graph != nullptr ? store.graph->count() : 0;
    const std::size_t fresh = store.count - old;
    if (old == 0 || fresh >= std::max(kBulkRows, old / kBulkShare) ||
        store.graph->levels.back().count() > kMostTopNodes) {
        Graph empty = new_graph(rows, store.count, spec_);
        const RowReader reader(rows, empty.codes.unit());
        Graph built = build_graph(reader, store.count, std::move(empty), threads);
        measure_length(built, reader);
        return std::make_shared<const Graph>(std::move(built));
    }
    if (parents_of_.lock() != store.graph) {
        parents_.clear();
        for (std::size_t l = 0; l < store.graph->levels.size(); ++l) {
            parents_.push_back(parents_of(*store.graph, l));
        }
    }
    Graph next = *store.graph;
    const RowReader reader(rows, next.codes.unit());
    std::vector<Id> numbers(fresh);
    for (std::size_t i = 0; i < fresh; ++i) numbers[i] = static_cast<Id>(old + i);
    next.codes.append(reader, numbers, threads);
    // Links that searches use change only where nothing can fail any more: not before a second batch.
    if (fresh > batch_rows(old)) {
        for (Level& level : next.levels) level.links.detach();
    }
    insert_rows(next, parents_, reader, store.count, threads);
    measure_length(next, reader);
    auto grown = std::make_shared<const Graph>(std::move(next));
    parents_of_ = grown;
    return grown;
}

std::size_t HnswIndex::most_dead(std::size_t rows) const noexcept {
    return std::max(kMinDead, rows / 10);
}

RowStore HnswIndex::compacted(const RowStore& store, int threads) const {
    RowStore out = Index::compacted(store, threads);
    if (out.count == 0) return out;
    const StoredRows rows = store.view(nullptr);
    const double unit = store.graph->codes.unit();
    Graph graph = without_dead(*store.graph, RowReader(rows, unit), *store.live, threads);
    for (std::size_t level = graph.levels.size(); level-- > 0;) {
        if (graph.levels[level].links.width() != 0) tie_in(graph, level);
    }
    const StoredRows left = out.view(nullptr);
    measure_length(graph, RowReader(left, unit));
    out.graph = std::make_shared<const Graph>(std::move(graph));
    adapt_nodes(out, threads);
    return out;
}

void HnswIndex::search_store(const RowStore& store, const RowFilter* filter,
                             MatrixView<float> queries, std::size_t k, const SearchOptions& options,
                             const TopKOut& out) const {
    const StoredRows rows = store.view(filter, options.adapter);
    const float* const terms = rows.is_reweighted() ? options.adapter->walk.as<float>() : nullptr;
    const std::size_t allowed = filter != nullptr ? filter->count() : store.live_count();
    const std::size_t wanted = std::min(k, allowed);
    // Every row that may answer, by what is kept of it.
    const auto search_all_of = [&](MatrixView<float> some, const TopKOut& answers) {
        const Wanted everything{k, std::max(store.count, k), kCertain};
        search_exhaustively(rows, some, everything, options.threads, answers);
    };
    const bool has_margin = std::isfinite(options.margin);
    const std::size_t usual = has_margin ? kBreadthOfMargin : kUsualBreadth;
    const std::size_t asked = options.ef_search != 0 ? options.ef_search : usual;
    const std::size_t breadth = std::min(std::max(asked, k), store.count);
    const std::size_t nodes = has_margin ? std::max(k, breadth / kShareOfMargin) : breadth;
    if (wanted == allowed || breadth >= allowed || scan_is_quicker(nodes, allowed, store.count)) {
        search_all_of(queries, out);
        return;
    }
    // So many are kept that as many of them as asked for may answer.
    const auto of_all = [&](std::size_t n) { return (n * store.count + allowed - 1) / allowed; };
    const std::size_t rerank =
        options.rerank != 0 ? std::max(k, std::min(options.rerank, store.count)) : 0;
    const double passing = static_cast<double>(allowed) / static_cast<double>(store.count);
    const double stretch = (1.0 + options.margin) * (1.0 + options.margin);
    search_graph(*store.graph, rows, queries,
                 {k, of_all(breadth), rerank, passing, {of_all(k), stretch}}, terms,
                 options.threads, out);

    std::vector<std::size_t> few;
    for (std::size_t i = 0; i < queries.rows; ++i) {
        if (out.counts[i] < static_cast<std::int64_t>(wanted)) few.push_back(i);
    }
    if (few.empty()) return;
    QuerySubset subset(queries, std::move(few), k);
    search_all_of(subset.queries(), subset.answers());
    subset.deliver(out);
}

std::vector<RangeHits> HnswIndex::range_search_store(const RowStore& store, const RowFilter* filter,
                                                     MatrixView<float> queries, double threshold,
                                                     const SearchOptions& options) const {
    return range_search_rows(store.view(filter, options.adapter), queries, threshold,
                             options.threads);
}

std::size_t HnswIndex::bytes() const {
    std::size_t parents = 0;
    {
        const auto lock = write_lock();
        for (const auto& level : parents_) parents += level.capacity() * sizeof(Id);
    }
    const auto store = snapshot();
    return Index::bytes() + parents + (store->graph != nullptr ? store->graph->bytes() : 0);
}

GraphStats HnswIndex::stats() const {
    const auto store = snapshot();
    GraphStats out;
    if (store->graph == nullptr) return out;
    const Graph& graph = *store->graph;
    for (const Level& level : graph.levels) {
        out.nodes.push_back(level.count());
        out.link_bytes += level.links.bytes();
    }
    const Links& links = graph.levels[0].links;
    std::vector<Id> buffer(links.width());
    out.least_links = links.width();
    for (std::size_t node = 0; node < graph.count(); ++node) {
        const std::size_t n = links.read(node, buffer.data());
        out.links += n;
        out.most_links = std::max(out.most_links, n);
        out.least_links = std::min(out.least_links, n);
    }
    out.reachable = count_reached(graph);
    out.walk_bytes = graph.codes.bytes();
    return out;
}

}  // namespace nearfield
