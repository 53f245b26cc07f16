// NumPy arrays to views and back. Python's arrays.py has already converted: what arrives here is
// C-contiguous and of the exact type, and anything else is an error, never a silent copy.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "base/types.h"
#include "base/view.h"

namespace nearfield::bindings {

namespace py = pybind11;

/// C-contiguous and exactly T; pybind11 would otherwise convert silently.
template <class T>
using Exact = py::array_t<T, py::array::c_style>;

Metric metric_from(const std::string& name);
std::string name_of(Metric metric);
DType dtype_from(const std::string& name);
std::string name_of(DType dtype);

/// A two-dimensional C-contiguous array as float32 queries.
MatrixView<float> as_queries(const py::array& array);

/// A two-dimensional C-contiguous array whose items have the size and kind of `dtype`.
RowsView as_rows(const py::array& array, DType dtype);

/// A one-dimensional contiguous int64 array.
std::span<const std::int64_t> as_labels(const py::array& array);

/// A one-dimensional contiguous float32 array.
std::span<const float> as_floats(const py::array& array);

/// A one-dimensional contiguous bool array, or nothing.
std::optional<std::span<const std::uint8_t>> as_mask(const py::object& mask);

/// Uninitialised result arrays.
template <class T>
py::array_t<T> make_array(std::vector<py::ssize_t> shape) {
    return py::array_t<T>(std::move(shape));
}

/// A copy of values that lie side by side.
template <class Values>
auto array_of(const Values& values) {
    using T = std::remove_cvref_t<decltype(*std::data(values))>;
    auto out = make_array<T>({static_cast<py::ssize_t>(std::size(values))});
    std::copy(std::begin(values), std::end(values), out.mutable_data());
    return out;
}

}  // namespace nearfield::bindings
