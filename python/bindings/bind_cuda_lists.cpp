// CUDA: rows in inverted lists, copied to a device and searched there.
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "arrays.h"
#include "bind.h"
#include "cuda/cuda.h"
#include "device_array.h"
#include "index/ivf/ivf_index.h"
#include "index/ivf/list_order.h"
#include "list_request.h"
#include "ranked_search.h"

namespace nearfield::bindings {
namespace {

using Address = std::uintptr_t;

py::array rows_of_order(const ListOrder& order, std::size_t first, std::size_t count,
                        std::size_t stride) {
    auto out = make_array<std::uint8_t>(
        {static_cast<py::ssize_t>(count), static_cast<py::ssize_t>(stride)});
    std::uint8_t* const to = out.mutable_data();
    const py::gil_scoped_release release;
    order.copy_rows(first, count, stride, to);
    return out;
}

void def_order(py::module_& m) {
    py::class_<ListOrder>(m, "ListOrder", "The live rows of an IVFIndex, list by list.")
        .def(py::init([](const IvfIndex& index) {
                 const py::gil_scoped_release release;
                 return std::make_unique<ListOrder>(index.snapshot());
             }),
             py::arg("index"))
        .def("part", &ListOrder::part, py::arg("part"), py::arg("parts"))
        .def("__len__", &ListOrder::size)
        .def_property_readonly("row_bytes", &ListOrder::row_bytes)
        .def("sizes", [](const ListOrder& order) { return array_of(order.sizes()); })
        .def("labels", [](const ListOrder& order) { return array_of(order.labels()); })
        .def("places", [](const ListOrder& order) { return array_of(order.places()); })
        .def("rows", &rows_of_order, py::arg("first"), py::arg("count"), py::arg("stride"));
}

/// (means, sizes, how many are looked into for 1, 2, ... lists) of the groups that centroids lie in; None where
/// they lie in none.
py::object groups_of(const IvfIndex& index) {
    const auto lists = index.centroids();
    const auto sizes = lists->group_sizes();
    if (sizes.empty()) return py::none();
    const std::size_t dim = index.snapshot()->spec.dim;
    auto means =
        make_array<float>({static_cast<py::ssize_t>(sizes.size()), static_cast<py::ssize_t>(dim)});
    std::copy_n(lists->group_means(), sizes.size() * dim, means.mutable_data());
    std::vector<std::uint32_t> looked_into;
    for (std::size_t nprobe = 1; nprobe <= lists->size(); ++nprobe) {
        looked_into.push_back(static_cast<std::uint32_t>(lists->groups_looked_into(nprobe)));
    }
    return py::make_tuple(means, array_of(sizes), array_of(looked_into));
}

/// Addresses: (constants, offsets, names, order) of the rows; whole: (offsets, order) of all, which sizes are of
/// too, where these are a part.
std::unique_ptr<cuda::ListedRows> listed_from(
    const DeviceMatrix& rows, const std::tuple<Address, Address, Address, Address>& of_rows,
    const DeviceMatrix& centroids, Address centroid_constants, const Exact<std::uint32_t>& sizes,
    std::shared_ptr<const cuda::ListedRows> grouped, Address groups,
    const std::pair<Address, Address>& whole) {
    const auto& [constants, offsets, names, order] = of_rows;
    const std::span<const std::uint32_t> lists(sizes.data(),
                                               static_cast<std::size_t>(sizes.size()));
    auto out = std::make_unique<cuda::ListedRows>(
        cuda::ListedRows{rows_of(rows), constants, offsets, names, order, rows_of(centroids),
                         centroid_constants, cuda::ListSizes(lists), std::move(grouped)});
    out->groups = groups;
    std::tie(out->whole_offsets, out->whole_order) = whole;
    return out;
}

void search(const DeviceMatrix& queries, const cuda::ListedRows& listed, const AskedOfLists& asked,
            const std::tuple<Address, Address, Address>& out, Address scratch, int device,
            Address stream) {
    const cuda::ListRequest request = list_request(queries, listed, asked);
    const auto& [ids, scores, counts] = out;
    const py::gil_scoped_release release;
    const cuda::StreamRef on = stream_of(device, stream);
    on.check_alive();
    cuda::search_lists(on, request, {ids, scores, counts}, scratch);
}

/// The same with keys to be merged by. lists: RankedLists of the request's size.
void search_ranked(const DeviceMatrix& queries, const cuda::ListedRows& listed,
                   const AskedOfLists& asked, Address lists, const std::pair<int, Address>& place) {
    const cuda::ListRequest request = list_request(queries, listed, asked);
    const py::gil_scoped_release release;
    search_ranked_in(place, request.queries.rows, request.k, cuda::list_scratch_bytes(request),
                     lists, [&](const auto& on, const auto& out, std::uintptr_t scratch) {
                         cuda::search_lists(on, request, out, scratch);
                     });
}

void def_search(py::module_& m) {
    m.def("groups_of_lists", &groups_of, py::arg("index"));
    py::class_<cuda::ListedRows, std::shared_ptr<cuda::ListedRows>>(
        m, "ListedRows", "Where rows lie that are searched by lists.")
        .def(py::init(&listed_from), py::arg("rows"), py::arg("of_rows"), py::arg("centroids"),
             py::arg("centroid_constants"), py::arg("sizes"), py::arg("grouped") = nullptr,
             py::arg("groups") = Address{0}, py::arg("whole") = std::pair<Address, Address>{});
    m.def(
        "list_constants_bytes",
        [](const DeviceMatrix& rows) { return cuda::list_constants_bytes(rows_of(rows)); },
        py::arg("rows"));
    m.def(
        "compute_list_constants",
        [](const DeviceMatrix& rows, const std::string& metric, Address at, int device,
           Address stream) {
            const cuda::DeviceRows there = rows_of(rows);
            const Metric kind = metric_from(metric);
            const py::gil_scoped_release release;
            cuda::compute_list_constants(stream_of(device, stream), there, kind, at);
        },
        py::arg("rows"), py::arg("metric"), py::arg("at"), py::arg("device"), py::arg("stream"));
    m.def(
        "list_scratch_bytes",
        [](const DeviceMatrix& queries, const cuda::ListedRows& listed, const AskedOfLists& asked) {
            return cuda::list_scratch_bytes(list_request(queries, listed, asked));
        },
        py::arg("queries"), py::arg("listed"), py::arg("asked"));
    m.def("search_lists_ranked", &search_ranked, py::arg("queries"), py::arg("listed"),
          py::arg("asked"), py::arg("lists"), py::arg("on"));
    m.def("search_lists", &search, py::arg("queries"), py::arg("listed"), py::arg("asked"),
          py::arg("out"), py::arg("scratch"), py::arg("device"), py::arg("stream"));
}

}  // namespace

void bind_cuda_lists(py::module_& m) {
    def_order(m);
    def_search(m);
}

}  // namespace nearfield::bindings
