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

}  // namespace

std::vector<AdapterShare> shares_from(const std::vector<std::pair<std::string, double>>& pairs) {
    std::vector<AdapterShare> out;
    for (const auto& [name, weight] : pairs) out.push_back({name, weight});
    return out;
}

void def_corpus_adapters(py::class_<Index>& index) {
    index
        .def("add_corpus_adapter", &add_corpus_adapter, py::arg("name"), py::arg("u"), py::arg("v"),
             py::arg("threads"))
        .def("remove_corpus_adapter", &Index::remove_corpus_adapter, py::arg("name"),
             py::call_guard<py::gil_scoped_release>())
        .def("corpus_adapters", &names_of);
}

}  // namespace nearfield::bindings
