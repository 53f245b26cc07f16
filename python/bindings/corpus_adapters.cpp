#include "corpus_adapters.h"

#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>

#include "arrays.h"
#include "bind.h"

namespace nearfield::bindings {
namespace {

/// v None: a matrix.
void add_corpus_adapter(Index& index, const std::string& name, const py::array& u,
                        const std::optional<py::array>& v, int threads) {
    const auto left = as_queries(u);
    const auto right = v ? as_queries(*v) : MatrixView<float>();
    const py::gil_scoped_release release;
    auto map = v ? CorpusMap::low_rank(left, right) : CorpusMap::matrix(left);
    index.add_corpus_adapter(name, std::make_shared<const CorpusMap>(std::move(map)), threads);
}

std::vector<std::string> names_of(const Index& index) {
    std::vector<std::string> out;
    for (const NamedAdapter& adapter : index.corpus_adapters()) out.push_back(adapter.name);
    return out;
}

// pybind11 holds objects by pointers to non-const; nothing here changes one.
using Adapted = std::shared_ptr<RowAdapter>;

Adapted adapted_rows(const Index& index, const std::vector<std::pair<std::string, double>>& shares,
                     int threads) {
    const auto asked = shares_from(shares);
    const py::gil_scoped_release release;
    return std::const_pointer_cast<RowAdapter>(index.adapted_rows(asked, threads));
}

py::array_t<double> to_array(std::span<const double> values) {
    return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::array_t<double> lengths_of(const Index& index, const RowAdapter& rows) {
    std::vector<double> lengths;
    {
        const py::gil_scoped_release release;
        lengths = index.lengths(rows);
    }
    return to_array(lengths);
}

void def_adapted(py::class_<Index>& index) {
    py::class_<RowAdapter, Adapted>(index, "AdaptedRows")
        .def_property_readonly("rank", [](const RowAdapter& r) { return r.map->rank(); })
        .def_property_readonly("left", [](const RowAdapter& r) { return to_array(r.map->left()); })
        .def_property_readonly("weights",
                               [](const RowAdapter& r) { return to_array(r.map->weights()); })
        .def_property_readonly("right",
                               [](const RowAdapter& r) { return to_array(r.map->right()); });
}

}  // namespace

std::vector<AdapterShare> shares_from(const std::vector<std::pair<std::string, double>>& pairs) {
    std::vector<AdapterShare> out;
    for (const auto& [name, weight] : pairs) out.push_back({name, weight});
    return out;
}

void def_corpus_adapters(py::class_<Index>& index) {
    def_adapted(index);
    index.def("adapted_rows", &adapted_rows, py::arg("corpus_adapters"), py::arg("threads"))
        .def("lengths", &lengths_of, py::arg("rows"))
        .def("add_corpus_adapter", &add_corpus_adapter, py::arg("name"), py::arg("u"), py::arg("v"),
             py::arg("threads"))
        .def("remove_corpus_adapter", &Index::remove_corpus_adapter, py::arg("name"),
             py::call_guard<py::gil_scoped_release>())
        .def("corpus_adapters", &names_of);
}

}  // namespace nearfield::bindings
