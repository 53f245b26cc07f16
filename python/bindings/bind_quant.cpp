// Quantizer: every kind through the base class.
#include <pybind11/stl.h>

#include <cstring>

#include "arrays.h"
#include "bind.h"
#include "quant/quantizer.h"
#include "quant/registry.h"
#include "quant/score_codes.h"

namespace nearfield::bindings {
namespace {

using NamedArray = std::pair<std::string, py::array>;

/// Rows of code_size bytes.
RowsView as_codes(const Quantizer& quantizer, const py::array& codes) {
    const RowsView view = as_rows(codes, DType::kU8);
    if (view.cols != quantizer.code_size()) {
        throw py::value_error("codes: got " + std::to_string(view.cols) +
                              " bytes a row, expected " + std::to_string(quantizer.code_size()));
    }
    return view;
}

void train(Quantizer& quantizer, const py::array& rows, std::uint64_t seed, int threads) {
    const auto view = as_queries(rows);
    const py::gil_scoped_release release;
    quantizer.train(view, seed, threads);
}

py::array encode(const Quantizer& quantizer, const py::array& rows, int threads) {
    const auto view = as_queries(rows);
    auto codes = make_array<std::uint8_t>(
        {static_cast<py::ssize_t>(view.rows), static_cast<py::ssize_t>(quantizer.code_size())});
    std::uint8_t* const out = codes.mutable_data();
    const py::gil_scoped_release release;
    quantizer.encode(view, out, threads);
    return codes;
}

py::array decode(const Quantizer& quantizer, const py::array& codes, int threads) {
    const RowsView view = as_codes(quantizer, codes);
    auto rows = make_array<float>(
        {static_cast<py::ssize_t>(view.rows), static_cast<py::ssize_t>(quantizer.dim())});
    float* const out = rows.mutable_data();
    const py::gil_scoped_release release;
    quantizer.decode(static_cast<const std::uint8_t*>(view.data), view.rows, out, threads);
    return rows;
}

py::array scores(const Quantizer& quantizer, const py::array& q, const py::array& codes,
                 const std::string& metric, int threads) {
    const auto queries = as_queries(q);
    const RowsView view = as_codes(quantizer, codes);
    const Metric kind = metric_from(metric);
    auto result = make_array<float>(
        {static_cast<py::ssize_t>(queries.rows), static_cast<py::ssize_t>(view.rows)});
    float* const out = result.mutable_data();
    const py::gil_scoped_release release;
    score_codes(quantizer, kind, queries, static_cast<const std::uint8_t*>(view.data), view.rows,
                out, threads);
    return result;
}

std::vector<NamedArray> parameters(const Quantizer& quantizer) {
    std::vector<NamedArray> arrays;
    for (const Parameter& p : quantizer.parameters()) {
        auto array =
            make_array<float>({static_cast<py::ssize_t>(p.rows), static_cast<py::ssize_t>(p.cols)});
        std::memcpy(array.mutable_data(), p.values.data(), p.values.size() * sizeof(float));
        arrays.emplace_back(p.name, array);
    }
    return arrays;
}

void restore(Quantizer& quantizer, const std::vector<NamedArray>& arrays) {
    std::vector<Parameter> given;
    for (const auto& [name, array] : arrays) {
        const auto view = as_queries(array);
        given.push_back(
            {name, view.rows, view.cols, {view.data, view.data + view.rows * view.cols}});
    }
    const py::gil_scoped_release release;
    quantizer.restore(given);
}

}  // namespace

void bind_quant(py::module_& module) {
    py::class_<Quantizer>(module, "Quantizer")
        .def(py::init(&make_quantizer), py::arg("name"), py::arg("dim"))
        .def_property_readonly("name", &Quantizer::name)
        .def_property_readonly("dim", &Quantizer::dim)
        .def_property_readonly("code_size", &Quantizer::code_size)
        .def_property_readonly("is_trained", &Quantizer::is_trained)
        .def("train", &train, py::arg("rows"), py::arg("seed"), py::arg("threads"))
        .def("encode", &encode, py::arg("rows"), py::arg("threads"))
        .def("decode", &decode, py::arg("codes"), py::arg("threads"))
        .def("scores", &scores, py::arg("q"), py::arg("codes"), py::arg("metric"),
             py::arg("threads"))
        .def("parameters", &parameters)
        .def("restore", &restore, py::arg("parameters"));
    module.def("quantizer_forms", &quantizer_forms);
}

}  // namespace nearfield::bindings
