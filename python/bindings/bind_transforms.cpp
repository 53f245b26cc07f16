// Transform, Modulation and QueryMap: what a search may do to its queries.
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "arrays.h"
#include "bind.h"
#include "transform/chain.h"
#include "transform/modulation.h"
#include "transform/query_map.h"
#include "transform/registry.h"

namespace nearfield::bindings {
namespace {

using Arrays = std::map<std::string, py::array>;
// pybind11 holds objects by pointers to non-const; nothing here changes one.
using Held = std::shared_ptr<Transform>;

/// A matrix, or a vector as one row.
MatrixView<float> as_matrix(const py::array& array) {
    if (array.ndim() != 1) return as_queries(array);
    const auto row = as_floats(array);
    return {row.data(), 1, row.size()};
}

Held hold(SharedTransform transform) { return std::const_pointer_cast<Transform>(transform); }

Held make(const std::string& kind, const Arrays& arrays,
          const std::map<std::string, double>& numbers,
          const std::map<std::string, std::string>& words) {
    TransformSpec spec{{}, numbers, words};
    for (const auto& [name, array] : arrays) spec.arrays[name] = as_matrix(array);
    const py::gil_scoped_release release;
    return hold(make_transform(kind, spec));
}

std::vector<SharedTransform> shared(const std::vector<Held>& parts) {
    for (const Held& part : parts) {
        if (part == nullptr) throw py::type_error("transforms: got None, expected a transform");
    }
    return {parts.begin(), parts.end()};
}

using Optional = std::optional<py::array>;

std::unique_ptr<Modulation> make_modulation(const py::array& weight, const Optional& bias,
                                            const py::array& special, const std::string& kind,
                                            float constant, bool normalize) {
    const ModulationSpec spec{token_weight_from(kind), constant, normalize};
    std::vector<float> offset;
    if (bias) {
        const auto row = as_floats(*bias);
        offset.assign(row.begin(), row.end());
    }
    return std::make_unique<Modulation>(as_queries(weight), std::move(offset), as_labels(special),
                                        spec);
}

TokenRows as_tokens(const py::array& ids, const py::array& offsets, const Optional& weights) {
    TokenRows tokens{as_labels(ids), as_labels(offsets), nullptr};
    if (!weights) return tokens;
    const auto row = as_floats(*weights);
    if (row.size() != tokens.ids.size()) throw py::value_error("weights: expected one per id");
    if (!row.empty()) tokens.weights = row.data();
    return tokens;
}

template <class T>
py::array_t<T> to_array(const std::vector<T>& values) {
    return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

/// (offsets, ids, weights) as they are summed.
py::tuple bags_of(const Modulation& modulation, const py::array& ids, const py::array& offsets,
                  const Optional& weights) {
    const TokenRows tokens = as_tokens(ids, offsets, weights);
    const TokenBags bags =
        modulation.bags(tokens.offsets.empty() ? 0 : tokens.offsets.size() - 1, tokens);
    return py::make_tuple(to_array(bags.offsets), to_array(bags.ids), to_array(bags.weights));
}

/// A map that keeps what it borrows. (py::keep_alive of a result fails where arguments are of wrong types.)
class Keeping final : public Modulated {
public:
    Keeping(const Modulated& map, std::vector<py::object> kept)
        : Modulated(map), kept_(std::move(kept)) {}

private:
    std::vector<py::object> kept_;
};

/// The object that holds it.
py::object held(const Modulation& modulation) {
    return py::cast(&modulation, py::return_value_policy::reference);
}

void bind_query_map(py::module_& module) {
    py::class_<QueryMap>(module, "QueryMap")
        .def_property_readonly("per_query", &QueryMap::per_query)
        .def_static(
            "one",
            [](const Held& transform) -> std::unique_ptr<QueryMap> {
                return std::make_unique<OneTransform>(transform);
            },
            py::arg("transform").none(false))
        .def_static(
            "each",
            [](const std::vector<Held>& transforms, const py::array& ids,
               std::size_t per_query) -> std::unique_ptr<QueryMap> {
                const auto numbers = as_labels(ids);
                return std::make_unique<TransformEach>(
                    shared(transforms), std::vector<std::int64_t>(numbers.begin(), numbers.end()),
                    per_query);
            },
            py::arg("transforms"), py::arg("ids"), py::arg("per_query"))
        .def_static(
            "modulated",
            [](const Modulation& modulation, const py::array& ids, const py::array& offsets,
               const Optional& weights) -> std::unique_ptr<QueryMap> {
                return std::make_unique<Keeping>(
                    Modulated(modulation, as_tokens(ids, offsets, weights)),
                    std::vector<py::object>{held(modulation), ids, offsets,
                                            weights ? py::object(*weights) : py::none()});
            },
            py::arg("modulation"), py::arg("ids"), py::arg("offsets"), py::arg("weights"))
        .def_static(
            "modulated_densely",
            [](const Modulation& modulation,
               const py::array& weights) -> std::unique_ptr<QueryMap> {
                return std::make_unique<Keeping>(
                    Modulated(modulation, as_queries(weights)),
                    std::vector<py::object>{held(modulation), weights});
            },
            py::arg("modulation"), py::arg("weights"));
}

}  // namespace

void bind_transforms(py::module_& module) {
    py::class_<Transform, Held>(module, "Transform")
        .def(py::init(&make), py::arg("kind"), py::arg("arrays"), py::arg("numbers"),
             py::arg("words"))
        .def_static(
            "chain",
            [](const std::vector<Held>& parts) {
                return hold(std::make_shared<const Chain>(shared(parts)));
            },
            py::arg("parts"));
    py::class_<Modulation>(module, "Modulation")
        .def(py::init(&make_modulation), py::arg("weight"), py::arg("bias"), py::arg("special_ids"),
             py::arg("kind"), py::arg("constant"), py::arg("normalize"), py::keep_alive<1, 2>())
        .def("bags", &bags_of, py::arg("ids"), py::arg("offsets"), py::arg("weights"))
        .def(
            "weighed",
            [](const Modulation& modulation, const py::array& weights) {
                return to_array(modulation.weighed(as_queries(weights)));
            },
            py::arg("weights"));
    bind_query_map(module);
    module.def(
        "map_queries",
        [](const QueryMap& map, const py::array& q, int threads) {
            const auto view = as_queries(q);
            auto out = make_array<float>({static_cast<py::ssize_t>(view.rows * map.per_query()),
                                          static_cast<py::ssize_t>(map.out_dim(view.cols))});
            float* const data = out.mutable_data();
            const py::gil_scoped_release release;
            map.apply(view, data, threads);
            return out;
        },
        py::arg("map"), py::arg("q"), py::arg("threads"));
}

}  // namespace nearfield::bindings
