// HnswIndex: rows as nodes of a graph; a search follows links to the nodes nearest to the query.
//
// Walks go by 4 bits a dimension, whatever rows are stored as; the rows of the best nodes are scored as they
// are stored, so scores are exact and only which rows are found is approximate. Where few rows may answer,
// all of them are scored instead. Many rows at once make a graph without searches (bulk.h), few are inserted
// (insert.h). Removed rows still lead the way until a tenth of the rows is dead; then their neighbours are
// linked to each other and the graph goes on without them (repair.h).
// Searches take no lock: they keep the snapshot they started with, and see new links between its rows as these
// come. Range searches read every row.
// Source: Malkov & Yashunin, arXiv:1603.09320.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "index/hnsw/graph.h"
#include "index/hnsw/insert.h"
#include "index/index.h"
#include "io/archive.h"

namespace nearfield {

struct GraphStats {
    std::vector<std::size_t> nodes;  // per level, level 0 first, removed ones included
    std::size_t links = 0;           // of level 0
    std::size_t most_links = 0;
    std::size_t least_links = 0;
    std::size_t reachable = 0;  // nodes of level 0 that links lead to
    std::size_t link_bytes = 0;
    std::size_t walk_bytes = 0;
};

class HnswIndex final : public Index {
public:
    static constexpr std::size_t kMostM = 512;
    static constexpr std::size_t kMostBreadth = 65536;

    /// std::invalid_argument unless 1 <= dim <= 65536, 2 <= m <= 512, 1 <= ef_construction <= 65536.
    /// coding: null for rows that are stored as their own elements.
    HnswIndex(std::size_t dim, Metric metric, DType dtype, const GraphSpec& spec,
              std::shared_ptr<const RowCoding> coding = nullptr);

    const char* kind() const noexcept override { return "hnsw"; }
    const GraphSpec& spec() const noexcept { return spec_; }
    GraphStats stats() const;
    std::size_t bytes() const override;

    void save(const std::string& path, bool durable) const override;
    static std::unique_ptr<HnswIndex> load(const io::Archive& archive);

private:
    HnswIndex(RowStore store, const GraphSpec& spec) : Index(std::move(store)), spec_(spec) {}

    void append(RowStore& store, const RowsView& rows, const std::int64_t* labels,
                std::span<const Id> places, int threads) override;
    std::size_t most_dead(std::size_t rows) const noexcept override;
    void adapt_more(RowAdapter& rows, const RowStore& store, int threads) const override;
    void adapt_nodes(RowStore& store, int threads) const;
    RowStore compacted(const RowStore& store, int threads) const override;
    void search_store(const RowStore& store, const RowFilter* filter, MatrixView<float> queries,
                      std::size_t k, const SearchOptions& options,
                      const TopKOut& out) const override;
    std::vector<RangeHits> range_search_store(const RowStore& store, const RowFilter* filter,
                                              MatrixView<float> queries, double threshold,
                                              const SearchOptions& options) const override;

    /// The graph over all rows of a store whose last ones are in none yet.
    std::shared_ptr<const Graph> grown(const RowStore& store, int threads);

    GraphSpec spec_;
    // The writer's: parents of the nodes of one graph.
    Parents parents_;
    std::weak_ptr<const Graph> parents_of_;
};

}  // namespace nearfield
