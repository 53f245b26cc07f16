// Search in a graph on a device: down its levels to a row to start from, a walk along the links, exact scores of
// what it keeps, and every row for the queries that found too few.
//
// Walks go by rows as they are stored, or as their codes say (the CPU's go by 4 bits a dimension), so what they come
// to is not the same, but what they keep is ranked by the same float64 keys, ties by smaller row. Rows are numbered
// as index/hnsw/graph_table.h says. Nothing is decided on the host once a search is enqueued.
// Cost: about 10 to 15 rows read for each of the breadth, and 4 bytes for twice as many links, a query.
// Source: kernels/graph_descend.cu, kernels/graph_search.cu.
#pragma once

#include <functional>
#include <optional>

#include "cuda/runtime/stream.h"
#include "cuda/search/exact_pass.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

/// A graph on a device, see index/hnsw/graph_table.h for what the tables hold.
struct DeviceGraph {
    std::size_t rows = 0;  // that walks pass through; the first ones of them may answer
    std::size_t degree = 0;
    CUdeviceptr links = 0;
    std::size_t upper = 0;  // levels above the rows
    std::size_t width = 0;
    CUdeviceptr node_rows = 0, below = 0, upper_links = 0, starts = 0;
    float unit = 1.0F;
    float length = 1.0F;
    CUdeviceptr constants = 0;  // of all rows, by compute_graph_constants(); cosine only
    bool are_units = false;     // under cosine rows count as unit vectors, whatever their length
    CUdeviceptr rotation = 0;   // dim x dim, of queries, where rows lie rotated; 0: they do not
};

struct GraphRequest {
    SearchRequest search;  // rows: those that may answer
    DeviceGraph graph;
    std::size_t passing = 0;  // rows that the mask lets answer; 0: nobody knows
    std::size_t breadth = 64;
    double margin = 0.0;  // as of SearchOptions; infinite: none

    /// By which rows are scored.
    Metric row_metric() const noexcept {
        return search.metric == Metric::kCosine && graph.are_units ? Metric::kIp : search.metric;
    }
};

/// Enqueues what becomes of the best pairs of a tile, `found` a query, before they are overwritten: of a query whose
/// length is 0 nothing (lengths 0: none is). A query that is taken twice is what it was the second time.
using TakePairs = std::function<void(const QueryTile& tile, const Pairs& pairs, std::size_t found,
                                     CUdeviceptr lengths)>;

/// Norms and scales of rows, for cosine unless they count as units.
std::size_t graph_constants_bytes(std::size_t rows);
void compute_graph_constants(const StreamRef& stream, const DeviceRows& rows, CUdeviceptr at);

/// Of a request whose metric is the rows' (row_metric()) and whose queries are turned as rows are.
class GraphPass {
public:
    /// False where all rows are to be scored instead: few may answer, many are wanted, or a block has not the
    /// memory for so broad a walk.
    static bool suits(const GraphRequest& request, std::size_t shared_bytes) noexcept;

    GraphPass(const GraphRequest& request, Scratch& scratch);

    std::size_t tile() const noexcept { return tile_; }

    /// Enqueues the search of a tile.
    void run(const StreamRef& stream, const QueryTile& queries, CUdeviceptr scratch,
             const TakePairs& take) const;

private:
    void descend(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void walk(const StreamRef& stream, const QueryTile& q, CUdeviceptr at) const;
    void complete(const StreamRef& stream, const QueryTile& q, CUdeviceptr at,
                  const TakePairs& take) const;

    const GraphRequest& r_;
    std::size_t beam_, picks_, rounds_, table_, tile_;
    std::size_t entries_, visited_ = 0, keys_, rows_, lengths_;
    std::optional<ExactPass> exact_;
};

}  // namespace nearfield::cuda
