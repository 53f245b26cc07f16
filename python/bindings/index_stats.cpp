#include "index_stats.h"

#include <pybind11/stl.h>

#include "arrays.h"
#include "index/hnsw/hnsw_index.h"
#include "row_coding.h"

namespace nearfield::bindings {
namespace {

/// What finds the rows that are scored.
std::string scan_of(const RowStore& store) {
    if (store.coding != nullptr) return store.coding->quantizer->name();
    return store.spec.kind == ScanKind::kBytes ? "int8" : "bfloat16";
}

/// A long add holds the lock that this waits for, and needs the GIL to look for signals.
std::size_t bytes_of(const Index& index) {
    const py::gil_scoped_release release;
    return index.bytes();
}

void add_graph(py::dict& d, const HnswIndex& index) {
    GraphStats graph;
    {
        const py::gil_scoped_release release;
        graph = index.stats();
    }
    const auto nodes = graph.nodes.empty() ? 0.0 : static_cast<double>(graph.nodes.front());
    d["m"] = index.spec().m;
    d["ef_construction"] = index.spec().ef_construction;
    d["seed"] = index.spec().seed;
    d["levels"] = graph.nodes;
    d["mean_links"] = nodes > 0.0 ? static_cast<double>(graph.links) / nodes : 0.0;
    d["least_links"] = graph.least_links;
    d["most_links"] = graph.most_links;
    d["reachable"] = graph.reachable;
    d["link_bytes"] = graph.link_bytes;
    d["walk_bytes"] = graph.walk_bytes;
}

}  // namespace

py::dict stats_of(const Index& index) {
    const auto store = index.snapshot();
    py::dict d;
    d["kind"] = index.kind();
    d["count"] = store->live_count();
    d["removed"] = store->dead;
    d["dim"] = store->spec.dim;
    d["metric"] = name_of(store->spec.metric);
    d["dtype"] = name_of(store->spec.dtype);
    d["quantizer"] = quantizer_of(*store);
    const bool refines = store->coding != nullptr && store->coding->keeps_rows;
    d["refine"] = refines ? py::object(py::str(name_of(store->spec.dtype))) : py::none();
    d["scan"] = scan_of(*store);
    d["bytes"] = bytes_of(index);
    d["row_bytes"] = store->rows.bytes();
    d["code_bytes"] = store->codes.bytes();
    if (const auto* graph = dynamic_cast<const HnswIndex*>(&index)) add_graph(d, *graph);
    return d;
}

}  // namespace nearfield::bindings
