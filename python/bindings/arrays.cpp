#include "arrays.h"

#include <stdexcept>

namespace nearfield::bindings {
namespace {

constexpr const char* kMetricNames[] = {"l2", "ip", "cosine"};
constexpr const char* kDTypeNames[] = {"float32", "float16", "bfloat16", "int8", "uint8"};

void require(const py::array& array, py::ssize_t ndim, char kind, std::size_t item_size,
             const char* what) {
    // Borrowed references may be to anything.
    if (!py::isinstance<py::array>(array)) {
        throw py::type_error(std::string(what) + ": the native module takes an array");
    }
    const bool contiguous = (array.flags() & py::array::c_style) != 0;
    const bool native = array.dtype().byteorder() != '>';
    if (array.ndim() != ndim || !contiguous || !native || array.dtype().kind() != kind ||
        static_cast<std::size_t>(array.itemsize()) != item_size) {
        throw py::type_error(std::string(what) + ": the native module takes a C-contiguous " +
                             std::to_string(ndim) + "-dimensional array of the stored type; got " +
                             py::str(py::object(array.dtype())).cast<std::string>() + " with " +
                             std::to_string(array.ndim()) + " dimensions");
    }
}

std::size_t dim_of(const py::array& array, py::ssize_t axis) {
    return static_cast<std::size_t>(array.shape(axis));
}

}  // namespace

Metric metric_from(const std::string& name) {
    for (std::uint8_t i = 0; i < 3; ++i) {
        if (name == kMetricNames[i]) return static_cast<Metric>(i);
    }
    throw py::value_error("metric: got '" + name + "', expected 'l2', 'ip' or 'cosine'");
}

std::string name_of(Metric metric) { return kMetricNames[static_cast<int>(metric)]; }

DType dtype_from(const std::string& name) {
    for (std::uint8_t i = 0; i < 5; ++i) {
        if (name == kDTypeNames[i]) return static_cast<DType>(i);
    }
    throw py::value_error("dtype: got '" + name +
                          "', expected float32, float16, bfloat16, int8 or uint8");
}

std::string name_of(DType dtype) { return kDTypeNames[static_cast<int>(dtype)]; }

MatrixView<float> as_queries(const py::array& array) {
    require(array, 2, 'f', sizeof(float), "queries");
    return {static_cast<const float*>(array.data()), dim_of(array, 0), dim_of(array, 1)};
}

RowsView as_rows(const py::array& array, DType dtype) {
    constexpr char kKinds[] = {'f', 'f', 'u', 'i', 'u'};
    require(array, 2, kKinds[static_cast<int>(dtype)], size_of(dtype), "rows");
    const std::size_t cols = dim_of(array, 1);
    return {array.data(), dim_of(array, 0), cols, cols * size_of(dtype), dtype};
}

std::span<const std::int64_t> as_labels(const py::array& array) {
    require(array, 1, 'i', sizeof(std::int64_t), "ids");
    return {static_cast<const std::int64_t*>(array.data()), dim_of(array, 0)};
}

std::span<const float> as_floats(const py::array& array) {
    require(array, 1, 'f', sizeof(float), "values");
    return {static_cast<const float*>(array.data()), dim_of(array, 0)};
}

std::optional<std::span<const std::uint8_t>> as_mask(const py::object& mask) {
    if (mask.is_none()) return std::nullopt;
    if (!py::isinstance<py::array>(mask)) throw py::type_error("mask: expected a bool array");
    const auto array = py::reinterpret_borrow<py::array>(mask);
    require(array, 1, 'b', 1, "mask");
    return std::span(static_cast<const std::uint8_t*>(array.data()), dim_of(array, 0));
}

}  // namespace nearfield::bindings
