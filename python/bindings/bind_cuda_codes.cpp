// CUDA: codes of rows, copied to a device and searched there.
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "arrays.h"
#include "bind.h"
#include "cuda/cuda.h"
#include "device_array.h"
#include "device_rows.h"
#include "index/flat/flat_index.h"
#include "index/live_codes.h"
#include "quant/decoding.h"
#include "ranked_search.h"

namespace nearfield::bindings {
namespace {

using Address = std::uintptr_t;

py::array some_codes(const LiveCodes& codes, std::size_t first, std::size_t count) {
    auto out = make_array<std::uint8_t>(
        {static_cast<py::ssize_t>(count), static_cast<py::ssize_t>(codes.quantizer().code_size())});
    std::uint8_t* const to = out.mutable_data();
    const py::gil_scoped_release release;
    codes.copy(first, count, to);
    return out;
}

void def_codes(py::module_& m) {
    py::class_<Decoding>(m, "Decoding", "How codes are read back.")
        .def_readonly("code_size", &Decoding::code_size)
        .def_readonly("bits", &Decoding::bits)
        .def_readonly("width", &Decoding::width)
        .def_readonly("rotated_dim", &Decoding::rotated_dim)
        .def_readonly("window", &Decoding::window)
        .def_readonly("rounds", &Decoding::rounds)
        .def("table", [](const Decoding& d) { return array_of(d.table); })
        .def("rotation", [](const Decoding& d) { return array_of(d.rotation); });
    py::class_<LiveCodes>(m, "LiveCodes", "The codes of a FlatIndex, by rising label.")
        .def(py::init([](const FlatIndex& index) {
                 const py::gil_scoped_release release;
                 return std::make_unique<LiveCodes>(index.snapshot());
             }),
             py::arg("index"))
        .def("__len__", &LiveCodes::size)
        .def_property_readonly("code_size",
                               [](const LiveCodes& codes) { return codes.quantizer().code_size(); })
        .def("labels", [](const LiveCodes& codes) { return array_of(codes.labels()); })
        .def("places", [](const LiveCodes& codes) { return array_of(codes.places()); })
        .def("codes", &some_codes, py::arg("first"), py::arg("count"))
        .def("decoding", [](const LiveCodes& codes) { return decoding_of(codes.quantizer()); });
    m.def(
        "decoding_of", [](const Quantizer& quantizer) { return decoding_of(quantizer); },
        py::arg("quantizer"));
    m.def(
        "no_decoding",
        [](std::size_t dim) {
            Decoding none;
            none.dim = dim;
            return none;
        },
        py::arg("dim"));
}

std::unique_ptr<cuda::CodedRows> coded_from(const Decoding& decoding, Address codes, Address table,
                                            Address rotation, std::size_t rows) {
    auto coded = std::make_unique<cuda::CodedRows>();
    coded->decoding = decoding;
    coded->decoding.table = {};
    coded->decoding.rotation = {};
    coded->codes = codes;
    coded->table = table;
    coded->rotation = rotation;
    coded->rows = rows;
    return coded;
}

/// What a search is asked beside the queries: metric, k, addresses of mask and labels, rows of a slice, and
/// how they are scanned.
using Asked = std::tuple<std::string, std::size_t, Address, Address, std::size_t, std::string>;

cuda::CodedRequest request_of(const DeviceMatrix& queries, const cuda::CodedRows& coded,
                              const Asked& asked) {
    const auto& [metric, k, mask, labels, slice, scan] = asked;
    return {rows_of(queries), coded, metric_from(metric), k, mask, labels, slice, scan_from(scan)};
}

void search(const DeviceMatrix& queries, const cuda::CodedRows& coded, const Asked& asked,
            const std::tuple<Address, Address, Address>& out, Address scratch, int device,
            Address stream) {
    const cuda::CodedRequest request = request_of(queries, coded, asked);
    const auto& [ids, scores, counts] = out;
    const py::gil_scoped_release release;
    const cuda::StreamRef on = stream_of(device, stream);
    on.check_alive();
    cuda::search_coded(on, request, {ids, scores, counts}, scratch);
}

/// The same with keys to be merged by. lists: RankedLists of the request's size.
void search_ranked(const DeviceMatrix& queries, const cuda::CodedRows& coded, const Asked& asked,
                   Address lists, const std::pair<int, Address>& place) {
    const cuda::CodedRequest request = request_of(queries, coded, asked);
    const py::gil_scoped_release release;
    search_ranked_in(place, request.queries.rows, request.k, cuda::coded_scratch_bytes(request),
                     lists, [&](const auto& on, const auto& out, Address scratch) {
                         cuda::search_coded(on, request, out, scratch);
                     });
}

void def_search(py::module_& m) {
    py::class_<cuda::CodedRows>(m, "CodedRows", "Codes on a device. Addresses, 0: none.")
        .def(py::init(&coded_from), py::arg("decoding"), py::arg("codes"), py::arg("table"),
             py::arg("rotation"), py::arg("rows"))
        .def_property_readonly("stride", &cuda::CodedRows::stride);
    m.def(
        "decode_rows",
        [](const cuda::CodedRows& coded, std::size_t count, Address out, int device,
           Address stream) {
            if (count != 0) cuda::decode(stream_of(device, stream), coded, 0, count, out);
        },
        py::arg("coded"), py::arg("count"), py::arg("out"), py::arg("device"), py::arg("stream"),
        py::call_guard<py::gil_scoped_release>());
    m.def(
        "coded_scratch_bytes",
        [](const DeviceMatrix& queries, const cuda::CodedRows& coded, const Asked& asked) {
            return cuda::coded_scratch_bytes(request_of(queries, coded, asked));
        },
        py::arg("queries"), py::arg("coded"), py::arg("asked"));
    m.def("search_coded", &search, py::arg("queries"), py::arg("coded"), py::arg("asked"),
          py::arg("out"), py::arg("scratch"), py::arg("device"), py::arg("stream"));
    m.def("search_coded_ranked", &search_ranked, py::arg("queries"), py::arg("coded"),
          py::arg("asked"), py::arg("lists"), py::arg("on"));
}

}  // namespace

void bind_cuda_codes(py::module_& m) {
    def_codes(m);
    def_search(m);
}

}  // namespace nearfield::bindings
