// CUDA: codes in inverted lists, copied to a device and searched there.
#include <pybind11/stl.h>

#include <memory>
#include <tuple>
#include <utility>

#include "arrays.h"
#include "bind.h"
#include "cuda/cuda.h"
#include "device_array.h"
#include "index/ivf/list_order.h"
#include "list_request.h"
#include "quant/decoding.h"
#include "ranked_search.h"

namespace nearfield::bindings {
namespace {

py::array codes_of_order(const ListOrder& order, std::size_t first, std::size_t count) {
    const std::size_t size = order.coding().quantizer->code_size();
    auto out =
        make_array<std::uint8_t>({static_cast<py::ssize_t>(count), static_cast<py::ssize_t>(size)});
    std::uint8_t* const to = out.mutable_data();
    const py::gil_scoped_release release;
    order.copy_codes(first, count, to);
    return out;
}

/// What codes are of differences from, a list each, as decoded rows need it; None where they are of rows.
py::object centres_of_order(const ListOrder& order) {
    const RowCoding& coding = order.coding();
    if (!coding.residual) return py::none();
    const std::size_t lists = order.sizes().size(), dim = coding.quantizer->dim();
    auto out = make_array<float>({static_cast<py::ssize_t>(lists), static_cast<py::ssize_t>(dim)});
    std::copy_n(coding.rotated_centres(), lists * dim, out.mutable_data());
    return out;
}

void search(const DeviceMatrix& queries, const cuda::CodedLists& lists, const AskedOfLists& asked,
            const std::tuple<std::uintptr_t, std::uintptr_t, std::uintptr_t>& out,
            std::uintptr_t scratch, int device, std::uintptr_t stream) {
    const cuda::CodedListRequest request{lists, list_request(queries, lists.listed, asked)};
    const auto& [ids, scores, counts] = out;
    const py::gil_scoped_release release;
    const cuda::StreamRef on = stream_of(device, stream);
    on.check_alive();
    cuda::search_coded_lists(on, request, {ids, scores, counts}, scratch);
}

/// The same with keys to be merged by. to: RankedLists of the request's size.
void search_ranked(const DeviceMatrix& queries, const cuda::CodedLists& lists,
                   const AskedOfLists& asked, std::uintptr_t to,
                   const std::pair<int, std::uintptr_t>& place) {
    const cuda::CodedListRequest request{lists, list_request(queries, lists.listed, asked)};
    const py::gil_scoped_release release;
    search_ranked_in(place, request.asked.queries.rows, request.asked.k,
                     cuda::coded_list_scratch_bytes(request), to,
                     [&](const auto& on, const auto& out, std::uintptr_t scratch) {
                         cuda::search_coded_lists(on, request, out, scratch);
                     });
}

}  // namespace

void bind_cuda_coded_lists(py::module_& m) {
    m.def("codes_of_lists", &codes_of_order, py::arg("order"), py::arg("first"), py::arg("count"));
    m.def("centres_of_lists", &centres_of_order, py::arg("order"));
    m.def(
        "decoding_of_lists",
        [](const ListOrder& order) { return decoding_of(*order.coding().quantizer); },
        py::arg("order"));
    py::class_<cuda::CodedLists>(m, "CodedLists", "Codes in lists on a device. 0: no centres.")
        .def(py::init([](const cuda::CodedRows& coded, const cuda::ListedRows& listed,
                         std::uintptr_t centres, std::size_t slice_rows) {
                 return std::make_unique<cuda::CodedLists>(
                     cuda::CodedLists{coded, listed, centres, slice_rows});
             }),
             py::arg("coded"), py::arg("listed"), py::arg("centres"), py::arg("slice_rows"));
    m.def(
        "coded_list_scratch_bytes",
        [](const DeviceMatrix& queries, const cuda::CodedLists& lists, const AskedOfLists& asked) {
            return cuda::coded_list_scratch_bytes(
                {lists, list_request(queries, lists.listed, asked)});
        },
        py::arg("queries"), py::arg("lists"), py::arg("asked"));
    m.def("search_coded_lists", &search, py::arg("queries"), py::arg("lists"), py::arg("asked"),
          py::arg("out"), py::arg("scratch"), py::arg("device"), py::arg("stream"));
    m.def("search_coded_lists_ranked", &search_ranked, py::arg("queries"), py::arg("lists"),
          py::arg("asked"), py::arg("to"), py::arg("on"));
}

}  // namespace nearfield::bindings
