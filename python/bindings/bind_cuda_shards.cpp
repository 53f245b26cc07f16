// CUDA: rows on several devices: order and copies between devices, results with keys, and their merge.
#include <pybind11/stl.h>

#include <string>
#include <tuple>

#include "arrays.h"
#include "bind.h"
#include "device_array.h"

namespace nearfield::bindings {
namespace {

using Address = std::uintptr_t;
using Release = py::call_guard<py::gil_scoped_release>;
using Matrix = std::tuple<Address, std::size_t, std::size_t, std::size_t, std::string>;
using Place = std::pair<int, Address>;  // a device, and a stream or memory of it

cuda::DeviceRows rows_of(const Matrix& matrix) {
    const auto& [address, rows, cols, stride, dtype] = matrix;
    return {address, rows, cols, stride, dtype_from(dtype)};
}

cuda::StreamRef at(const Place& place) { return stream_of(place.first, place.second); }

/// extras: addresses of mask, labels and constants. lists: RankedLists of the request's size.
void search_ranked(const Matrix& queries, const Matrix& rows, const std::string& metric,
                   std::size_t k, const std::tuple<Address, Address, Address>& extras,
                   Address lists, const Place& on) {
    const auto& [mask, labels, constants] = extras;
    const cuda::SearchRequest request{
        rows_of(queries), rows_of(rows), metric_from(metric), k, mask, labels, constants, false};
    const py::gil_scoped_release release;
    const cuda::RankedLists layout(request.queries.rows, k);
    const cuda::DeviceBuffer counts(at(on), request.queries.rows * sizeof(std::int64_t));
    cuda::topk(at(on), request, layout.at(lists, counts.address()));
}

}  // namespace

void bind_cuda_shards(py::module_& m) {
    m.def(
        "follow", [](const Place& stream, const Place& other) { at(stream).wait_for(at(other)); },
        py::arg("stream"), py::arg("other"), Release());
    m.def(
        "copy_between",
        [](const Place& to, const Place& from, std::size_t bytes, const Place& on) {
            cuda::copy_between(at(on), {cuda::Device::at(to.first), to.second},
                               {cuda::Device::at(from.first), from.second}, bytes);
        },
        py::arg("to"), py::arg("from_"), py::arg("bytes"), py::arg("on"), Release());
    m.def(
        "pick_bytes",
        [](Address from, Address order, std::size_t n, Address to, const Place& on) {
            cuda::pick_bytes(at(on), from, order, n, to);
        },
        py::arg("from_"), py::arg("order"), py::arg("n"), py::arg("to"), py::arg("on"), Release());
    m.def(
        "widen",
        [](const Matrix& from, Address to, const Place& on) {
            const cuda::DeviceRows rows = rows_of(from);
            const py::gil_scoped_release release;
            cuda::widen(at(on), rows, to);
        },
        py::arg("from_"), py::arg("to"), py::arg("on"));
    m.def(
        "ranked_bytes",
        [](std::size_t queries, std::size_t k) { return cuda::RankedLists(queries, k).bytes(); },
        py::arg("queries"), py::arg("k"));
    m.def("search_ranked", &search_ranked, py::arg("queries"), py::arg("rows"), py::arg("metric"),
          py::arg("k"), py::arg("extras"), py::arg("lists"), py::arg("on"));
    m.def(
        "merge_ranked",
        [](std::size_t queries, std::size_t k, std::size_t parts, Address lists,
           const std::tuple<Address, Address, Address>& out, const Place& on) {
            const auto& [ids, scores, counts] = out;
            cuda::merge_ranked(at(on), {queries, k}, parts, lists, {ids, scores, counts, 0});
        },
        py::arg("queries"), py::arg("k"), py::arg("parts"), py::arg("lists"), py::arg("out"),
        py::arg("on"), Release());
}

}  // namespace nearfield::bindings
