// CUDA: devices, arrays on them, and exact search.
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <utility>

#include "arrays.h"
#include "bind.h"
#include "device_array.h"
#include "device_rows.h"

namespace nearfield::bindings {
namespace {

using Matrix = DeviceMatrix;

// Addresses of the mask, the labels and the constants of the rows; 0: none.
using Extras = std::tuple<std::uintptr_t, std::uintptr_t, std::uintptr_t>;

// Addresses of the left factor, the weights, the right factor and the lengths, and the rank.
using Folding = std::optional<
    std::tuple<std::uintptr_t, std::uintptr_t, std::uintptr_t, std::uintptr_t, std::size_t>>;

std::optional<cuda::FoldedMap> folded_of(const Folding& folding) {
    if (!folding) return std::nullopt;
    const auto& [left, weights, right, lengths, rank] = *folding;
    return cuda::FoldedMap{left, weights, right, rank, lengths};
}

// A RowMap as map_of() reads it, and the rows that it makes queries of.
using Unmapped = std::optional<std::pair<py::dict, Matrix>>;

std::optional<cuda::Unmapped> unmapped_of(const Unmapped& unmapped) {
    if (!unmapped) return std::nullopt;
    return cuda::Unmapped{rows_of(unmapped->second), map_of(unmapped->first)};
}

cuda::SearchRequest request_of(const Matrix& queries, const Matrix& rows, const std::string& metric,
                               std::size_t k, const Extras& extras, bool exclude_self,
                               const std::string& scan, std::uintptr_t bytes,
                               const Folding& folding, const Unmapped& unmapped) {
    const auto& [mask, labels, constants] = extras;
    return {rows_of(queries),
            rows_of(rows),
            metric_from(metric),
            k,
            mask,
            labels,
            constants,
            exclude_self,
            scan_from(scan),
            bytes,
            unmapped_of(unmapped),
            folded_of(folding)};
}

py::dict description(const cuda::Device& device) {
    py::dict d;
    d["device"] = device.label();
    d["name"] = device.name();
    d["capability"] =
        std::to_string(device.capability().major) + "." + std::to_string(device.capability().minor);
    d["memory"] = device.memory_bytes();
    // Starting every device to ask takes time and memory of each.
    d["free"] = device.is_started() ? py::object(py::int_(device.free_bytes())) : py::none();
    d["multiprocessors"] = device.multiprocessors();
    return d;
}

py::list devices() {
    py::list all;
    for (int i = 0; i < cuda::Device::count(); ++i) all.append(description(cuda::Device::at(i)));
    return all;
}

py::dict report() {
    cuda::Report r;
    {
        const py::gil_scoped_release release;
        r = cuda::report();
    }
    py::dict d;
    d["driver"] = r.driver;
    d["driver_version"] = r.driver_version != 0 ? cuda::version_text(r.driver_version) : "";
    d["driver_error"] = r.driver_error;
    d["compiler"] = r.compiler;
    d["compiler_version"] = r.compiler_version != 0 ? cuda::version_text(r.compiler_version) : "";
    d["compiler_error"] = r.compiler_error;
    d["cache"] = r.cache;
    py::list all;
    for (const cuda::Device* device : r.devices) all.append(description(*device));
    d["devices"] = all;
    return d;
}

void search(const Matrix& queries, const Matrix& rows, const std::string& metric, std::size_t k,
            const Extras& extras, bool exclude_self,
            const std::tuple<std::uintptr_t, std::uintptr_t, std::uintptr_t>& out,
            std::uintptr_t scratch, int device, std::uintptr_t stream, const std::string& scan,
            std::uintptr_t bytes, const Folding& folding, const Unmapped& unmapped) {
    const auto request =
        request_of(queries, rows, metric, k, extras, exclude_self, scan, bytes, folding, unmapped);
    const auto& [ids, scores, counts] = out;
    const py::gil_scoped_release release;
    const cuda::StreamRef on = stream_of(device, stream);
    on.check_alive();
    cuda::topk(on, request, {ids, scores, counts}, scratch);
}

void upload(const DeviceArray& to, const py::buffer& from, std::size_t offset) {
    const py::buffer_info info = from.request();
    const auto bytes = static_cast<std::size_t>(info.size * info.itemsize);
    if (offset > to.bytes() || bytes > to.bytes() - offset) {
        throw py::value_error("upload: got " + std::to_string(bytes) + " bytes for byte " +
                              std::to_string(offset) + " of " + std::to_string(to.bytes()));
    }
    const py::gil_scoped_release release;
    cuda::copy_to_device(to.stream(), to.address() + offset, info.ptr, bytes);
}

void download(const py::buffer& to, std::uintptr_t from, int device, std::uintptr_t stream) {
    const py::buffer_info info = to.request(true);
    const py::gil_scoped_release release;
    cuda::copy_to_host(stream_of(device, stream), info.ptr, from,
                       static_cast<std::size_t>(info.size * info.itemsize));
}

void def_streams(py::module_& m) {
    using Release = py::call_guard<py::gil_scoped_release>;
    py::class_<cuda::Stream>(m, "Stream")
        .def(py::init([](int device) {
                 const py::gil_scoped_release release;
                 return std::make_unique<cuda::Stream>(cuda::Device::at(device));
             }),
             py::arg("device"))
        .def_property_readonly("handle", [](const cuda::Stream& stream) {
            return reinterpret_cast<std::uintptr_t>(stream.ref().handle);
        });
    py::class_<cuda::Event>(m, "Event")
        .def(py::init([](int device) {
                 const py::gil_scoped_release release;
                 return std::make_unique<cuda::Event>(cuda::Device::at(device));
             }),
             py::arg("device"))
        .def(
            "record",
            [](cuda::Event& event, int device, std::uintptr_t stream) {
                event.record(stream_of(device, stream));
            },
            py::arg("device"), py::arg("stream"), Release())
        .def("is_done", &cuda::Event::is_done, Release());
    m.def(
        "check_stream",
        [](int device, std::uintptr_t stream) { stream_of(device, stream).check_alive(); },
        py::arg("device"), py::arg("stream"), Release());
    m.def(
        "wait_for",
        [](int device, std::uintptr_t stream, std::uintptr_t other) {
            const cuda::StreamRef before = stream_of(device, other);
            before.check_alive();
            stream_of(device, stream).wait_for(before);
        },
        py::arg("device"), py::arg("stream"), py::arg("other"), Release());
    m.def(
        "synchronize",
        [](int device, std::uintptr_t stream) { stream_of(device, stream).synchronize(); },
        py::arg("device"), py::arg("stream"), Release());
}

void def_array(py::module_& m) {
    py::class_<DeviceArray>(m, "DeviceArray",
                            "An array on a device; torch.from_dlpack and cupy.asarray take it.")
        .def(py::init<const std::vector<py::ssize_t>&, std::string, int, std::uintptr_t>(),
             py::arg("shape"), py::arg("dtype"), py::arg("device"), py::arg("stream"))
        .def_property_readonly("shape",
                               [](const DeviceArray& a) { return py::tuple(py::cast(a.shape())); })
        .def_property_readonly("dtype", &DeviceArray::dtype)
        .def_property_readonly(
            "device", [](const DeviceArray& a) { return "cuda:" + std::to_string(a.device()); })
        .def_property_readonly("nbytes", &DeviceArray::bytes)
        .def_property_readonly("_address", &DeviceArray::address)
        .def_property_readonly("_stream",
                               [](const DeviceArray& a) {
                                   return reinterpret_cast<std::uintptr_t>(a.stream().handle);
                               })
        .def("reshape", &DeviceArray::reshaped, py::arg("shape"),
             "Return the same memory in another shape of as many elements.")
        .def("numpy", &DeviceArray::numpy,
             "Return a copy on the host, once what writes the array is done; bfloat16 as uint16.")
        .def("__dlpack__", &DeviceArray::dlpack, py::kw_only(), py::arg("stream") = py::none(),
             py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(),
             py::arg("copy") = py::none())
        .def("__dlpack_device__",
             [](const DeviceArray& a) { return py::make_tuple(2, a.device()); })
        .def_property_readonly("__cuda_array_interface__", &DeviceArray::cuda_array_interface);
}

}  // namespace

void bind_cuda(py::module_& module) {
    py::module_ m = module.def_submodule("cuda", "Devices, arrays on them, and exact search.");
    def_array(m);
    def_streams(m);
    bind_cuda_codes(m);
    bind_cuda_lists(m);
    bind_cuda_coded_lists(m);
    bind_cuda_shards(m);
    bind_cuda_training(m);
    bind_cuda_transforms(m);
    m.def("devices", &devices);
    m.def("report", &report);
    m.def("sources", [] {
        std::vector<std::string> names;
        for (const cuda::Source& source : cuda::kernel_sources()) {
            const std::string name = source.name;
            if (name.ends_with(".cu")) names.push_back(name);
        }
        return names;
    });
    m.def(
        "build",
        [](int device, const std::string& source) {
            const cuda::Built built = cuda::Device::at(device).build(source);
            return std::pair(built.seconds, built.from_cache);
        },
        py::arg("device"), py::arg("source"), py::call_guard<py::gil_scoped_release>());
    m.def(
        "count_fallbacks_at",
        [](int device, std::uintptr_t counter) {
            cuda::Device::at(device).count_fallbacks_at(counter);
        },
        py::arg("device"), py::arg("counter"));
    m.def("search_in", &cuda::search_in, py::arg("folders"));
    m.def(
        "device_of", [](std::uintptr_t address) { return cuda::device_of(address); },
        py::arg("address"));
    m.def("open_dlpack", &open_dlpack, py::arg("capsule"));
    m.def("upload", &upload, py::arg("to"), py::arg("from_"), py::arg("offset"));
    m.def("download", &download, py::arg("to"), py::arg("from_"), py::arg("device"),
          py::arg("stream"));
    m.def(
        "scratch_bytes",
        [](const Matrix& queries, const Matrix& rows, std::size_t k, const Extras& extras,
           bool exclude_self, const std::string& scan, std::uintptr_t bytes, const Folding& folding,
           const Unmapped& unmapped) {
            return cuda::scratch_bytes(request_of(queries, rows, "l2", k, extras, exclude_self,
                                                  scan, bytes, folding, unmapped));
        },
        py::arg("queries"), py::arg("rows"), py::arg("k"), py::arg("extras"),
        py::arg("exclude_self"), py::arg("scan") = "groups", py::arg("bytes") = 0,
        py::arg("folding") = py::none(), py::arg("unmapped") = py::none());
    m.def(
        "constants_bytes", [](const Matrix& rows) { return cuda::constants_bytes(rows_of(rows)); },
        py::arg("rows"));
    m.def(
        "compute_constants",
        [](const Matrix& rows, const std::string& metric, std::uintptr_t at, int device,
           std::uintptr_t stream) {
            const cuda::DeviceRows there = rows_of(rows);
            const Metric kind = metric_from(metric);
            const py::gil_scoped_release release;
            cuda::compute_constants(stream_of(device, stream), there, kind, at);
        },
        py::arg("rows"), py::arg("metric"), py::arg("at"), py::arg("device"), py::arg("stream"));
    m.def("search", &search, py::arg("queries"), py::arg("rows"), py::arg("metric"), py::arg("k"),
          py::arg("extras"), py::arg("exclude_self"), py::arg("out"), py::arg("scratch"),
          py::arg("device"), py::arg("stream"), py::arg("scan") = "groups", py::arg("bytes") = 0,
          py::arg("folding") = py::none(), py::arg("unmapped") = py::none());
    bind_cuda_bytes(m);
    bind_cuda_graph(m);
}

}  // namespace nearfield::bindings
