// CUDA: the tables of a graph on their way to a device, and searches there.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>

#include "arrays.h"
#include "bind.h"
#include "device_array.h"
#include "index/hnsw/graph_table.h"
#include "index/hnsw/hnsw_index.h"
#include "quant/decoding.h"

namespace nearfield::bindings {
namespace {

// (address, rows, cols, stride in elements, dtype)
using Matrix = std::tuple<std::uintptr_t, std::size_t, std::size_t, std::size_t, std::string>;
using Addresses = std::tuple<std::uintptr_t, std::uintptr_t, std::uintptr_t>;

cuda::DeviceRows rows_of(const Matrix& matrix) {
    const auto& [address, rows, cols, stride, dtype] = matrix;
    return {address, rows, cols, stride, dtype_from(dtype)};
}

/// The tables of an index as it was, and its rows or, where it keeps none, its codes.
struct Tables {
    std::shared_ptr<const RowStore> store;
    GraphTable table;

    explicit Tables(const HnswIndex& index) : store(index.snapshot()), table(table_of(*store)) {}

    bool are_codes() const noexcept {
        return store->coding != nullptr && !store->coding->keeps_rows;
    }
    const Quantizer& quantizer() const {
        if (!are_codes()) throw py::value_error("got a graph over rows, expected one over codes");
        return *store->coding->quantizer;
    }

    py::array rows(std::size_t first, std::size_t count) const {
        if (are_codes()) throw py::value_error("got a graph over codes, expected one over rows");
        const std::span<const Id> some = numbers(first, count);
        auto out = bytes_of(some.size(), store->spec.dim * size_of(store->spec.dtype));
        copy_stored_rows(store->view(nullptr).rows, some, out.mutable_data());
        return out;
    }

    py::array codes(std::size_t first, std::size_t count) const {
        const std::size_t bytes = quantizer().code_size();
        const std::span<const Id> some = numbers(first, count);
        auto out = bytes_of(some.size(), bytes);
        std::uint8_t* to = out.mutable_data();
        for (const Id row : some) {
            std::memcpy(to, store->codes.data() + std::size_t{row} * bytes, bytes);
            to += bytes;
        }
        return out;
    }

private:
    /// Rows of the store, of the numbers from `first` on, or as many as there are.
    std::span<const Id> numbers(std::size_t first, std::size_t count) const {
        const std::size_t begin = std::min(first, table.rows.size());
        return std::span(table.rows).subspan(begin, std::min(count, table.rows.size() - begin));
    }
    static py::array_t<std::uint8_t> bytes_of(std::size_t rows, std::size_t bytes) {
        return make_array<std::uint8_t>(
            {static_cast<py::ssize_t>(rows), static_cast<py::ssize_t>(bytes)});
    }
};

void bind_tables(py::module_& m) {
    py::class_<Tables>(m, "GraphTables", "A graph as tables over numbered rows.")
        .def(py::init([](const HnswIndex& index) {
                 const py::gil_scoped_release release;
                 return std::make_unique<Tables>(index);
             }),
             py::arg("index"))
        .def_property_readonly("count", [](const Tables& t) { return t.table.rows.size(); })
        .def_property_readonly("degree", [](const Tables& t) { return t.table.degree; })
        .def_property_readonly("width", [](const Tables& t) { return t.table.width; })
        .def_property_readonly("unit", [](const Tables& t) { return t.table.unit; })
        .def_property_readonly("length", [](const Tables& t) { return t.table.length; })
        .def_property_readonly("are_codes", &Tables::are_codes)
        .def("rows", &Tables::rows, py::arg("first"), py::arg("count"), "Rows by number, as bytes.")
        .def("codes", &Tables::codes, py::arg("first"), py::arg("count"), "Likewise their codes.")
        .def("decoding", [](const Tables& t) { return decoding_of(t.quantizer()); })
        .def("labels", [](const Tables& t) { return array_of(t.table.labels); })
        .def("places", [](const Tables& t) { return array_of(t.table.places); })
        .def("links", [](const Tables& t) { return array_of(t.table.links); })
        .def("node_rows", [](const Tables& t) { return array_of(t.table.node_rows); })
        .def("below", [](const Tables& t) { return array_of(t.table.below); })
        .def("upper_links", [](const Tables& t) { return array_of(t.table.upper_links); })
        .def("starts", [](const Tables& t) { return array_of(t.table.starts); });
}

void bind_device_graph(py::module_& m) {
    py::class_<cuda::DeviceGraph>(m, "DeviceGraph", "Where the tables of a graph lie.")
        .def(py::init([](const Tables& tables, std::uintptr_t links,
                         const std::tuple<std::uintptr_t, std::uintptr_t, std::uintptr_t,
                                          std::uintptr_t>& levels,
                         std::uintptr_t constants, std::uintptr_t rotation) {
                 const GraphTable& t = tables.table;
                 const auto& [node_rows, below, upper_links, starts] = levels;
                 cuda::DeviceGraph graph;
                 graph.rows = t.rows.size();
                 graph.degree = t.degree;
                 graph.links = links;
                 graph.upper = t.starts.size() - 1;
                 graph.width = t.width;
                 graph.node_rows = node_rows;
                 graph.below = below;
                 graph.upper_links = upper_links;
                 graph.starts = starts;
                 graph.unit = static_cast<float>(t.unit);
                 graph.length = static_cast<float>(t.length);
                 graph.constants = constants;
                 graph.are_units = tables.are_codes();  // they were when they were encoded
                 graph.rotation = rotation;
                 return graph;
             }),
             py::arg("tables"), py::arg("links"), py::arg("levels"), py::arg("constants"),
             py::arg("rotation"));
}

/// (metric, k, passing, breadth, margin)
using Wanted = std::tuple<std::string, std::size_t, std::size_t, std::size_t, double>;

cuda::GraphRequest request_of(const cuda::DeviceGraph& graph, const Matrix& queries,
                              const Matrix& rows, const Wanted& wanted, std::uintptr_t mask,
                              std::uintptr_t labels) {
    const auto& [metric, k, passing, breadth, margin] = wanted;
    cuda::GraphRequest r;
    r.search.queries = rows_of(queries);
    r.search.rows = rows_of(rows);
    r.search.metric = metric_from(metric);
    r.search.k = k;
    r.search.mask = mask;
    r.search.labels = labels;
    r.graph = graph;
    r.passing = passing;
    r.breadth = breadth;
    r.margin = margin;
    return r;
}

void search(const cuda::DeviceGraph& graph, const Matrix& queries, const Matrix& rows,
            const Wanted& wanted, const std::pair<std::uintptr_t, std::uintptr_t>& extras,
            const Addresses& out, std::uintptr_t scratch, int device, std::uintptr_t stream) {
    const auto request = request_of(graph, queries, rows, wanted, extras.first, extras.second);
    const auto& [ids, scores, counts] = out;
    const py::gil_scoped_release release;
    const cuda::StreamRef on = stream_of(device, stream);
    on.check_alive();
    cuda::search_graph(on, request, {ids, scores, counts}, scratch);
}

/// index.add, a graph over many rows being linked on a device.
void add_on(const py::object& index, const py::object& rows, const py::object& labels,
            const py::object& replace, const py::object& threads, int device,
            std::size_t most_compared) {
    const LinkSource source = cuda::links_on(cuda::Device::at(device), most_compared);
    const LinkScope scope(source);
    index.attr("add")(rows, labels, replace, threads);
}

}  // namespace

void bind_cuda_graph(py::module_& m) {
    m.def("add_on", &add_on, py::arg("index"), py::arg("rows"), py::arg("labels"),
          py::arg("replace"), py::arg("threads"), py::arg("device"), py::arg("most_compared"));
    using Release = py::call_guard<py::gil_scoped_release>;
    bind_tables(m);
    bind_device_graph(m);
    m.def("graph_constants_bytes", &cuda::graph_constants_bytes, py::arg("rows"));
    m.def(
        "compute_graph_constants",
        [](const Matrix& rows, std::uintptr_t at, int device, std::uintptr_t stream) {
            const cuda::DeviceRows there = rows_of(rows);
            const py::gil_scoped_release release;
            cuda::compute_graph_constants(stream_of(device, stream), there, at);
        },
        py::arg("rows"), py::arg("at"), py::arg("device"), py::arg("stream"));
    m.def(
        "graph_scratch_bytes",
        [](const cuda::DeviceGraph& graph, const Matrix& queries, const Matrix& rows,
           const Wanted& wanted, int device) {
            return cuda::graph_scratch_bytes(cuda::Device::at(device),
                                             request_of(graph, queries, rows, wanted, 0, 0));
        },
        py::arg("graph"), py::arg("queries"), py::arg("rows"), py::arg("wanted"),
        py::arg("device"));
    m.def("search_graph", &search, py::arg("graph"), py::arg("queries"), py::arg("rows"),
          py::arg("wanted"), py::arg("extras"), py::arg("out"), py::arg("scratch"),
          py::arg("device"), py::arg("stream"));
    m.def(
        "order_mask",
        [](std::uintptr_t mask, std::uintptr_t order, std::size_t count, std::uintptr_t out,
           int device, std::uintptr_t stream) {
            cuda::order_mask(stream_of(device, stream), mask, order, count, out);
        },
        py::arg("mask"), py::arg("order"), py::arg("count"), py::arg("out"), py::arg("device"),
        py::arg("stream"), Release());
}

}  // namespace nearfield::bindings
