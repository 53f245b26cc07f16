// Transforms of rows on a device.
#include <pybind11/stl.h>

#include "arrays.h"
#include "bind.h"
#include "device_array.h"
#include "device_rows.h"
#include "transform/modulation.h"

namespace nearfield::bindings {
namespace {

using Matrix = DeviceMatrix;

std::size_t map_scratch_bytes(const py::dict& map, std::size_t given) {
    cuda::Scratch scratch;
    const cuda::RowMapper mapper(map_of(map), given, scratch);
    return scratch.bytes();
}

void map_rows(const py::dict& map, const Matrix& in, const Matrix& out, std::uintptr_t scratch,
              int device, std::uintptr_t stream) {
    const cuda::RowMap fields = map_of(map);
    const cuda::DeviceRows from = rows_of(in), to = rows_of(out);
    const py::gil_scoped_release release;
    const cuda::StreamRef on = stream_of(device, stream);
    on.check_alive();
    cuda::Scratch reserved;
    cuda::RowMapper(fields, to.rows, reserved).run(on, from, to, scratch);
}

}  // namespace

void bind_cuda_transforms(py::module_& m) {
    m.def("map_scratch_bytes", &map_scratch_bytes, py::arg("map"), py::arg("given"));
    m.def("map_rows", &map_rows, py::arg("map"), py::arg("rows"), py::arg("out"),
          py::arg("scratch"), py::arg("device"), py::arg("stream"));
    m.def(
        "numbers_of_ids",
        [](std::uintptr_t ids, bool are_wide, std::size_t rows, std::size_t count,
           std::uintptr_t numbers, int device, std::uintptr_t stream) {
            cuda::numbers_of_ids(stream_of(device, stream), ids, are_wide, rows, count, numbers);
        },
        py::arg("ids"), py::arg("are_wide"), py::arg("rows"), py::arg("count"), py::arg("numbers"),
        py::arg("device"), py::arg("stream"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace nearfield::bindings
