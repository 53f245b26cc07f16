// The kinds of Index: how each is made, and what it alone has. bind_index() comes first.
#include <algorithm>
#include <memory>

#include "arrays.h"
#include "bind.h"
#include "index/flat/flat_index.h"
#include "index/hnsw/hnsw_index.h"
#include "index/ivf/ivf_index.h"
#include "row_coding.h"

namespace nearfield::bindings {
namespace {

py::array centroids_of(const IvfIndex& index) {
    const auto lists = index.centroids();
    const std::size_t dim = index.snapshot()->spec.dim;
    auto out =
        make_array<float>({static_cast<py::ssize_t>(index.nlist()), static_cast<py::ssize_t>(dim)});
    std::copy_n(lists->centroids(), index.nlist() * dim, out.mutable_data());
    return out;
}

py::array list_sizes_of(const IvfIndex& index) {
    const auto sizes = index.list_sizes();
    auto out = make_array<std::uint32_t>({static_cast<py::ssize_t>(sizes.size())});
    std::copy(sizes.begin(), sizes.end(), out.mutable_data());
    return out;
}

void bind_flat(py::module_& module) {
    py::class_<FlatIndex, Index>(module, "FlatIndex")
        .def(py::init([](std::size_t dim, const std::string& metric, const std::string& dtype,
                         const py::object& quantizer, bool keeps_rows) {
                 return std::make_unique<FlatIndex>(dim, metric_from(metric), dtype_from(dtype),
                                                    coding_from(quantizer, keeps_rows, false));
             }),
             py::arg("dim"), py::arg("metric"), py::arg("dtype"), py::arg("quantizer") = py::none(),
             py::arg("keeps_rows") = false);
}

void bind_ivf(py::module_& module) {
    py::class_<IvfIndex, Index>(module, "IVFIndex")
        .def(py::init([](std::size_t dim, const std::string& metric, const std::string& dtype,
                         std::size_t nlist, std::uint64_t seed, const py::object& quantizer,
                         bool keeps_rows, bool residual, bool hierarchical) {
                 return std::make_unique<IvfIndex>(
                     dim, metric_from(metric), dtype_from(dtype), nlist, seed,
                     coding_from(quantizer, keeps_rows, residual),
                     hierarchical ? CoarseKind::kHierarchical : CoarseKind::kFlat);
             }),
             py::arg("dim"), py::arg("metric"), py::arg("dtype"), py::arg("nlist"), py::arg("seed"),
             py::arg("quantizer") = py::none(), py::arg("keeps_rows") = false,
             py::arg("residual") = false, py::arg("hierarchical") = false)
        .def_property_readonly("nlist", &IvfIndex::nlist)
        .def_property_readonly(
            "hierarchical",
            [](const IvfIndex& index) { return index.coarse_kind() == CoarseKind::kHierarchical; })
        .def_property_readonly("residual",
                               [](const IvfIndex& index) {
                                   const auto store = index.snapshot();
                                   return store->coding != nullptr && store->coding->residual;
                               })
        .def_property_readonly("seed", &IvfIndex::seed)
        .def("centroids", &centroids_of)
        .def("list_sizes", &list_sizes_of);
}

void bind_hnsw(py::module_& module) {
    py::class_<HnswIndex, Index>(module, "HNSWIndex")
        .def(py::init([](std::size_t dim, const std::string& metric, const std::string& dtype,
                         std::size_t m, std::size_t ef_construction, std::uint64_t seed,
                         const py::object& quantizer, bool keeps_rows) {
                 return std::make_unique<HnswIndex>(dim, metric_from(metric), dtype_from(dtype),
                                                    GraphSpec{m, ef_construction, seed},
                                                    coding_from(quantizer, keeps_rows, false));
             }),
             py::arg("dim"), py::arg("metric"), py::arg("dtype"), py::arg("m"),
             py::arg("ef_construction"), py::arg("seed"), py::arg("quantizer") = py::none(),
             py::arg("keeps_rows") = false)
        .def_property_readonly("m", [](const HnswIndex& index) { return index.spec().m; })
        .def_property_readonly("ef_construction",
                               [](const HnswIndex& index) { return index.spec().ef_construction; })
        .def_property_readonly("seed", [](const HnswIndex& index) { return index.spec().seed; });
}

}  // namespace

void bind_kinds(py::module_& module) {
    bind_flat(module);
    bind_ivf(module);
    bind_hnsw(module);
}

}  // namespace nearfield::bindings
