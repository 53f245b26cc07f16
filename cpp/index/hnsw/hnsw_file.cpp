// HnswIndex on disk: rows, then the graph over them. Walk codes are derived and made again at load.
//
// kGraph        GraphMeta
// kGraphCentre  float32, 1 x dim
// kGraphNodes   uint32, count x 1: the row of each node of level 0
// kGraphLinks   uint32, count x 2 m: the nodes it leads to, then kNoNode
// kGraphLevels  uint32, words x 1: for each level above, the number of its nodes; these, by their numbers on
//               level 0; and, but for the top level, m links of each, numbers on the level
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "index/hnsw/beam.h"
#include "index/hnsw/hnsw_index.h"
#include "index/hnsw/new_graph.h"
#include "index/row_file.h"

namespace nearfield {
namespace {

/// Of the unit: norms of rows are between 2^-149 and 2^136.
constexpr int kMostExponent = 200;
/// Sections of a graph that has nodes.
constexpr io::SectionType kOfNodes[] = {io::SectionType::kGraphCentre, io::SectionType::kGraphNodes,
                                        io::SectionType::kGraphLinks,
                                        io::SectionType::kGraphLevels};

/// Little-endian, as it lies in memory.
struct GraphMeta {
    std::uint32_t m;
    std::uint32_t ef_construction;
    std::uint64_t seed;
    double unit;
    std::uint32_t by_distance;
    std::uint32_t levels;  // above level 0
};
static_assert(sizeof(GraphMeta) == 32);

/// Links of a level as a file holds them: no number that is not a node, no gap.
Links checked_links(const io::Archive& archive, const std::string& section, std::size_t width,
                    std::size_t count, const Id* records) {
    Column column;
    auto* const to = reinterpret_cast<Id*>(column.extend(count * width * sizeof(Id)));
    for (std::size_t node = 0; node < count; ++node) {
        const Id* const record = records + node * width;
        bool has_ended = false;
        for (std::size_t i = 0; i < width; ++i) {
            if (record[i] == kNoNode) {
                has_ended = true;
            } else if (has_ended || record[i] >= count || record[i] == node) {
                corrupt(archive, section,
                        "node " + std::to_string(node) + " leads to " + std::to_string(record[i]) +
                            ", which is no other node of " + std::to_string(count) +
                            ", or after the end of its links");
            }
        }
        std::copy_n(record, width, to + node * width);
    }
    return Links(width, std::move(column));
}

/// The words of kGraphLevels, read one after another.
class Words {
public:
    Words(const io::Archive& archive, std::span<const std::uint32_t> words)
        : archive_(archive), words_(words) {}

    std::span<const std::uint32_t> take(std::size_t n) {
        if (n > words_.size() - at_) {
            corrupt(archive_, "graph_levels",
                    std::to_string(words_.size()) + " words, more were expected");
        }
        at_ += n;
        return words_.subspan(at_ - n, n);
    }
    bool is_empty() const noexcept { return at_ == words_.size(); }

private:
    const io::Archive& archive_;
    std::span<const std::uint32_t> words_;
    std::size_t at_ = 0;
};

Column column_of(std::span<const Id> ids) {
    Column out;
    std::copy(ids.begin(), ids.end(), reinterpret_cast<Id*>(out.extend(ids.size_bytes())));
    return out;
}

/// The levels above level 0, from the lowest up.
class LevelReader {
public:
    LevelReader(const io::Archive& archive, std::size_t count, std::size_t m)
        : archive_(archive), words_(archive, words_in(archive)), m_(m), place_(count) {
        std::iota(place_.begin(), place_.end(), Id{0});
    }

    Level read(std::size_t number, bool is_top) {
        const std::size_t count = words_.take(1)[0];
        if (count == 0) corrupt(archive_, "graph_levels", "a level without nodes");
        const auto nodes = words_.take(count);
        Level level;
        level.nodes = column_of(nodes);
        std::vector<Id> below(count);
        std::vector<Id> place(place_.size(), kNoNode);
        for (std::size_t i = 0; i < count; ++i) {
            const Id node = nodes[i];
            if (node >= place.size() || place_[node] == kNoNode || place[node] != kNoNode) {
                corrupt(archive_, "graph_levels",
                        "level " + std::to_string(number) + ": node " + std::to_string(node) +
                            " occurs twice or is not on the level below");
            }
            below[i] = place_[node];
            place[node] = static_cast<Id>(i);
        }
        place_.swap(place);
        if (number > 1) level.below = column_of(below);
        if (is_top) return level;
        level.links =
            checked_links(archive_, "graph_levels", m_, count, words_.take(count * m_).data());
        return level;
    }

    void finish() const {
        if (!words_.is_empty()) corrupt(archive_, "graph_levels", "words behind the last level");
    }

private:
    static std::span<const std::uint32_t> words_in(const io::Archive& archive) {
        const auto type = io::SectionType::kGraphLevels;
        const std::uint64_t rows = archive.require(type, io::ElementType::kU32).rows;
        return archive.require(type, io::ElementType::kU32, rows, 1).as<std::uint32_t>();
    }

    const io::Archive& archive_;
    Words words_;
    std::size_t m_;
    std::vector<Id> place_;  // of each node of level 0 on the level read last
};

GraphMeta read_graph_meta(const io::Archive& archive) {
    const io::Section& section =
        archive.require(io::SectionType::kGraph, io::ElementType::kBytes, 1, sizeof(GraphMeta));
    GraphMeta meta{};
    std::memcpy(&meta, section.data.data(), sizeof meta);
    if (meta.m < 2 || meta.m > HnswIndex::kMostM || meta.ef_construction < 1 ||
        meta.ef_construction > HnswIndex::kMostBreadth) {
        corrupt(archive, "graph",
                "m " + std::to_string(meta.m) + ", ef_construction " +
                    std::to_string(meta.ef_construction));
    }
    const double unit = meta.unit;
    int exponent = 0;
    if (!std::isfinite(unit) || !(unit > 0.0) || std::frexp(unit, &exponent) != 0.5 ||
        std::abs(exponent) > kMostExponent) {
        corrupt(archive, "graph", "a unit that is no power of two, or beyond what rows ask for");
    }
    if (meta.by_distance > 1 || meta.levels > 64) {
        corrupt(archive, "graph",
                "by_distance " + std::to_string(meta.by_distance) + ", levels " +
                    std::to_string(meta.levels));
    }
    return meta;
}

std::vector<float> read_centre(const io::Archive& archive, std::size_t dim) {
    const auto values =
        archive.require(io::SectionType::kGraphCentre, io::ElementType::kF32, 1, dim).as<float>();
    for (const float value : values) {
        if (!std::isfinite(value)) corrupt(archive, "graph_centre", "NaN or infinity");
    }
    return {values.begin(), values.end()};
}

std::span<const Id> read_nodes(const io::Archive& archive, std::size_t count) {
    const auto rows =
        archive.require(io::SectionType::kGraphNodes, io::ElementType::kU32, count, 1).as<Id>();
    std::vector<bool> seen(count, false);
    for (const Id row : rows) {
        if (row >= count || seen[row]) {
            corrupt(archive, "graph_nodes", "not a permutation of the rows");
        }
        seen[row] = true;
    }
    return rows;
}

Graph read_graph(const io::Archive& archive, const GraphMeta& meta, const RowStore& store) {
    Graph graph;
    graph.spec = {meta.m, meta.ef_construction, meta.seed};
    graph.by_distance = meta.by_distance == 1;
    graph.levels.emplace_back();
    const auto nodes = read_nodes(archive, store.count);
    graph.levels[0].nodes = column_of(nodes);
    const std::size_t width = 2 * std::size_t{meta.m};
    const auto links =
        archive.require(io::SectionType::kGraphLinks, io::ElementType::kU32, store.count, width);
    graph.levels[0].links =
        checked_links(archive, "graph_links", width, store.count, links.as<Id>().data());
    LevelReader above(archive, store.count, meta.m);
    for (std::size_t l = 1; l <= meta.levels; ++l) {
        graph.levels.push_back(above.read(l, l == meta.levels));
    }
    above.finish();
    const StoredRows rows = store.view(nullptr);
    const RowReader reader(rows, meta.unit);
    graph.codes = WalkCodes(reader.dim(), reader.metric(), meta.seed,
                            read_centre(archive, reader.dim()), meta.unit);
    graph.codes.append(reader, nodes, 0);
    measure_length(graph, reader);
    return graph;
}

/// kGraphLevels of a graph.
std::vector<std::uint32_t> words_of(const Graph& graph) {
    std::vector<std::uint32_t> words;
    for (std::size_t l = 1; l < graph.levels.size(); ++l) {
        const Level& level = graph.levels[l];
        words.push_back(static_cast<std::uint32_t>(level.count()));
        words.insert(words.end(), level.ids(), level.ids() + level.count());
        if (l + 1 < graph.levels.size()) {
            const Id* const records = level.links.records().as<Id>();
            words.insert(words.end(), records, records + level.count() * level.links.width());
        }
    }
    return words;
}

}  // namespace

void HnswIndex::save(const std::string& path, bool durable) const {
    std::shared_ptr<const RowStore> store;
    Graph graph;
    {
        // Of links that a writer changes a copy is written.
        const auto lock = write_lock();
        store = snapshot();
        if (store->dead == 0 && store->graph != nullptr) {
            graph = *store->graph;
            for (Level& level : graph.levels) level.links.detach();
        }
    }
    if (store->dead != 0) {
        store = std::make_shared<RowStore>(compacted(*store, 0));
        if (store->graph != nullptr) graph = *store->graph;
    }
    const RowSections sections(*store, IndexKind::kHnsw);
    io::ArchiveWriter writer;
    sections.add_to(writer);
    const GraphMeta meta{
        static_cast<std::uint32_t>(spec_.m),
        static_cast<std::uint32_t>(spec_.ef_construction),
        spec_.seed,
        graph.codes.unit(),
        graph.by_distance ? 1u : 0u,
        static_cast<std::uint32_t>(store->count == 0 ? 0 : graph.levels.size() - 1)};
    writer.add(io::SectionType::kGraph, io::ElementType::kBytes, 1, sizeof meta, &meta);
    const auto words = words_of(graph);
    if (store->count != 0) {
        const auto centre = graph.codes.centre();
        writer.add(io::SectionType::kGraphCentre, io::ElementType::kF32, 1, centre.size(),
                   centre.data());
        writer.add(io::SectionType::kGraphNodes, io::ElementType::kU32, store->count, 1,
                   graph.levels[0].ids());
        const Links& links = graph.levels[0].links;
        writer.add(io::SectionType::kGraphLinks, io::ElementType::kU32, store->count, links.width(),
                   links.records().data());
        writer.add(io::SectionType::kGraphLevels, io::ElementType::kU32, words.size(), 1,
                   words.data());
    }
    const auto tuned = tuning();
    if (tuned != nullptr) tuned->add_to(writer);
    writer.save(path, durable);
}

std::unique_ptr<HnswIndex> HnswIndex::load(const io::Archive& archive) {
    const RowMeta rows = read_meta(archive, IndexKind::kHnsw);
    const auto is_there = [&](io::SectionType type) { return archive.find(type) != nullptr; };
    if (is_there(io::SectionType::kListSizes) || is_there(io::SectionType::kArrival)) {
        corrupt(archive, "meta", "a graph over lists");
    }
    if (rows.count > Beam::kMostNodes) {
        corrupt(archive, "meta", "a graph of " + std::to_string(rows.count) + " rows");
    }
    const GraphMeta meta = read_graph_meta(archive);
    RowStore store = read_rows(archive, rows);
    if (store.coding != nullptr && store.coding->residual) {
        corrupt(archive, "quantizer", "codes about centroids in a graph");
    }
    if (store.count != 0) {
        store.graph = std::make_shared<const Graph>(read_graph(archive, meta, store));
    } else if (meta.levels != 0 ||
               std::any_of(std::begin(kOfNodes), std::end(kOfNodes), is_there)) {
        corrupt(archive, "graph", "nodes, but no rows");
    }
    return std::unique_ptr<HnswIndex>(
        new HnswIndex(std::move(store), {meta.m, meta.ef_construction, meta.seed}));
}

}  // namespace nearfield
