// CUDA: k-means and codes of rows on a device.
#include <pybind11/stl.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "arrays.h"
#include "bind.h"
#include "device_array.h"
#include "index/ivf/ivf_index.h"

namespace nearfield::bindings {
namespace {

// (address, rows, cols, stride in elements, dtype)
using Matrix = std::tuple<std::uintptr_t, std::size_t, std::size_t, std::size_t, std::string>;

cuda::DeviceRows rows_of(const Matrix& matrix) {
    const auto& [address, rows, cols, stride, dtype] = matrix;
    return {address, rows, cols, stride, dtype_from(dtype)};
}

/// k, iterations, seed, spherical, tolerance, hierarchical, growing, balance.
using Settings = std::tuple<std::size_t, int, std::uint64_t, bool, double, bool, bool, double>;

KMeansOptions options_of(const Settings& settings, const py::object& start) {
    const auto& [k, iterations, seed, spherical, tolerance, hierarchical, growing, balance] =
        settings;
    KMeansOptions options{.k = k, .iterations = iterations, .seed = seed, .spherical = spherical};
    options.tolerance = tolerance;
    options.hierarchical = hierarchical;
    options.growing = growing;
    options.balance = balance;
    if (!start.is_none()) options.start = as_queries(py::reinterpret_borrow<py::array>(start));
    return options;
}

/// out: addresses of k x dim float32 and of an int64 a row; 0: not wanted. others: devices and streams of them
/// that share the work. Waits.
py::tuple fit(const Matrix& rows, const Settings& settings, const py::object& start,
              const std::pair<std::uintptr_t, std::uintptr_t>& out, int device,
              std::uintptr_t stream, const std::vector<std::pair<int, std::uintptr_t>>& others) {
    const cuda::DeviceRows there = rows_of(rows);
    const KMeansOptions options = options_of(settings, start);
    KMeansResult found;
    {
        const py::gil_scoped_release release;
        const cuda::StreamRef on = stream_of(device, stream);
        on.check_alive();
        std::vector<cuda::StreamRef> sharing;
        for (const auto& [number, handle] : others) sharing.push_back(stream_of(number, handle));
        found = cuda::kmeans(on, there, options, out.second, sharing);
        if (out.first != 0) {
            cuda::copy_to_device(on, out.first, found.centroids.data(),
                                 found.centroids.size() * sizeof(float));
            on.synchronize();
        }
    }
    auto centroids = make_array<float>(
        {static_cast<py::ssize_t>(options.k), static_cast<py::ssize_t>(there.cols)});
    std::copy(found.centroids.begin(), found.centroids.end(), centroids.mutable_data());
    return py::make_tuple(centroids, found.final_inertia, found.inertia.size());
}

void assign(const Matrix& rows, std::uintptr_t centroids, std::size_t k, bool spherical,
            std::uintptr_t labels, std::uintptr_t scratch, int device, std::uintptr_t stream) {
    const cuda::DeviceRows there = rows_of(rows);
    const py::gil_scoped_release release;
    const cuda::StreamRef on = stream_of(device, stream);
    on.check_alive();
    cuda::assign(on, there, centroids, k, spherical, labels, scratch);
}

/// Rows of the host; their centroids are found on the device, in a stream of its own.
void train_lists(IvfIndex& index, const py::array& rows, int threads, int device) {
    const RowsView view = as_rows(rows, index.snapshot()->spec.dtype);
    const py::gil_scoped_release release;
    const cuda::Stream stream(cuda::Device::at(device));
    index.train(view, threads, [&](MatrixView<float> sample, const KMeansOptions& options, int) {
        return cuda::kmeans(stream.ref(), sample, options);
    });
}

/// To a trained index of flat lists; what is added, and how, is as Index.add has it.
void add_to_lists(IvfIndex& index, const py::array& rows, const py::object& labels, bool replace,
                  int threads, int device) {
    const RowsView view = as_rows(rows, index.snapshot()->spec.dtype);
    std::span<const std::int64_t> names;
    if (!labels.is_none()) names = as_labels(py::reinterpret_borrow<py::array>(labels));
    if (!labels.is_none() && names.size() != view.rows) {
        throw py::value_error("ids: expected one id per row");
    }
    const py::gil_scoped_release release;
    const auto lists = index.centroids();
    const cuda::Stream stream(cuda::Device::at(device));
    const std::vector<Id> places = cuda::lists_of(stream.ref(), view, lists->centroids(),
                                                  lists->size(), index.snapshot()->spec.metric);
    index.add(view, labels.is_none() ? nullptr : names.data(), replace, threads, places);
}

/// A product quantizer.
void train(Quantizer& quantizer, const Matrix& rows, std::uint64_t seed, int device,
           std::uintptr_t stream) {
    const cuda::DeviceRows there = rows_of(rows);
    auto* const product = dynamic_cast<ProductQuantizer*>(&quantizer);
    if (product == nullptr) {
        throw py::type_error("got " + quantizer.name() +
                             ", expected pq<m>x<nbits>: others are trained on the CPU only");
    }
    const py::gil_scoped_release release;
    const cuda::StreamRef on = stream_of(device, stream);
    on.check_alive();
    cuda::train(on, *product, there, seed);
}

void encode(const cuda::DeviceCodes& codes, const Matrix& rows, std::uintptr_t out,
            std::uintptr_t scratch, int device, std::uintptr_t stream) {
    const cuda::DeviceRows there = rows_of(rows);
    const py::gil_scoped_release release;
    const cuda::StreamRef on = stream_of(device, stream);
    on.check_alive();
    codes.encode(on, there, out, scratch);
}

void decode(const cuda::DeviceCodes& codes, const Matrix& bytes, std::uintptr_t out, int device,
            std::uintptr_t stream) {
    const cuda::DeviceRows there = rows_of(bytes);
    const py::gil_scoped_release release;
    const cuda::StreamRef on = stream_of(device, stream);
    on.check_alive();
    codes.decode(on, {there.address, there.rows, there.stride}, out);
}

void def_codes(py::module_& m) {
    py::class_<cuda::DeviceCodes>(m, "Codes")
        .def(py::init([](const Quantizer& quantizer, int device, std::uintptr_t stream) {
                 const py::gil_scoped_release release;
                 return cuda::device_codes(stream_of(device, stream), quantizer);
             }),
             py::arg("quantizer"), py::arg("device"), py::arg("stream"))
        .def(
            "scratch_bytes",
            [](const cuda::DeviceCodes& codes, const Matrix& rows) {
                return codes.scratch_bytes(rows_of(rows));
            },
            py::arg("rows"))
        .def("encode", &encode, py::arg("rows"), py::arg("out"), py::arg("scratch"),
             py::arg("device"), py::arg("stream"))
        .def("decode", &decode, py::arg("codes"), py::arg("out"), py::arg("device"),
             py::arg("stream"));
}

}  // namespace

void bind_cuda_training(py::module_& m) {
    def_codes(m);
    m.def("train_lists", &train_lists, py::arg("index"), py::arg("rows"), py::arg("threads"),
          py::arg("device"));
    m.def("add_to_lists", &add_to_lists, py::arg("index"), py::arg("rows"), py::arg("labels"),
          py::arg("replace"), py::arg("threads"), py::arg("device"));
    m.def("train_quantizer", &train, py::arg("quantizer"), py::arg("rows"), py::arg("seed"),
          py::arg("device"), py::arg("stream"));
    m.def("kmeans", &fit, py::arg("rows"), py::arg("settings"), py::arg("start"), py::arg("out"),
          py::arg("device"), py::arg("stream"),
          py::arg("others") = std::vector<std::pair<int, std::uintptr_t>>());
    m.def(
        "assign_scratch_bytes",
        [](const Matrix& rows, std::size_t k) {
            return cuda::assign_scratch_bytes(rows_of(rows), k);
        },
        py::arg("rows"), py::arg("k"));
    m.def("assign", &assign, py::arg("rows"), py::arg("centroids"), py::arg("k"),
          py::arg("spherical"), py::arg("labels"), py::arg("scratch"), py::arg("device"),
          py::arg("stream"));
}

}  // namespace nearfield::bindings
