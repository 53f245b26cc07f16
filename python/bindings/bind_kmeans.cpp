// k-means: fit and assign.
#include <pybind11/stl.h>

#include <algorithm>
#include <string>

#include "arrays.h"
#include "bind.h"
#include "quant/kmeans/kmeans.h"

namespace nearfield::bindings {
namespace {

template <class T>
py::array_t<T> copied(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
    auto array = make_array<T>(std::move(shape));
    std::copy(values.begin(), values.end(), array.mutable_data());
    return array;
}

py::tuple fit(const py::array& rows, std::size_t k, int iterations, std::uint64_t seed,
              bool spherical, double tolerance, bool hierarchical, bool growing, double balance,
              const py::object& start, int threads) {
    const auto view = as_queries(rows);
    KMeansOptions options{.k = k, .iterations = iterations, .seed = seed, .spherical = spherical};
    options.tolerance = tolerance;
    options.hierarchical = hierarchical;
    options.growing = growing;
    options.balance = balance;
    options.label_rows = true;
    if (!start.is_none()) options.start = as_queries(py::reinterpret_borrow<py::array>(start));
    KMeansResult result;
    {
        const py::gil_scoped_release release;
        result = kmeans(view, options, threads);
    }
    auto labels = make_array<std::int64_t>({static_cast<py::ssize_t>(result.labels.size())});
    std::copy(result.labels.begin(), result.labels.end(), labels.mutable_data());
    return py::make_tuple(
        copied(result.centroids,
               {static_cast<py::ssize_t>(k), static_cast<py::ssize_t>(view.cols)}),
        labels, result.final_inertia,
        copied(result.inertia, {static_cast<py::ssize_t>(result.inertia.size())}));
}

py::array nearest(const py::array& rows, const py::array& centroids, bool spherical, int threads) {
    const auto view = as_queries(rows);
    const auto all = as_queries(centroids);
    std::vector<Id> found(view.rows);
    {
        const py::gil_scoped_release release;
        assign(view, all, spherical, found.data(), nullptr, threads);
    }
    auto labels = make_array<std::int64_t>({static_cast<py::ssize_t>(view.rows)});
    std::copy(found.begin(), found.end(), labels.mutable_data());
    return labels;
}

}  // namespace

void bind_kmeans(py::module_& module) {
    module.def("kmeans", &fit, py::arg("rows"), py::arg("k"), py::arg("iterations"),
               py::arg("seed"), py::arg("spherical"), py::arg("tolerance"), py::arg("hierarchical"),
               py::arg("growing"), py::arg("balance"), py::arg("start"), py::arg("threads"));
    module.def("kmeans_assign", &nearest, py::arg("rows"), py::arg("centroids"),
               py::arg("spherical"), py::arg("threads"));
}

}  // namespace nearfield::bindings
