// CUDA: bytes beside float rows that stay on a device.
#include "arrays.h"
#include "bind.h"
#include "device_array.h"
#include "device_rows.h"

namespace nearfield::bindings {

void bind_cuda_bytes(py::module_& m) {
    m.def(
        "byte_rows_bytes",
        [](const DeviceMatrix& rows) { return cuda::byte_rows_bytes(rows_of(rows)); },
        py::arg("rows"));
    m.def(
        "compute_byte_rows",
        [](const DeviceMatrix& rows, const std::string& metric, std::uintptr_t constants,
           std::uintptr_t at, int device, std::uintptr_t stream) {
            const cuda::DeviceRows there = rows_of(rows);
            const Metric kind = metric_from(metric);
            const py::gil_scoped_release release;
            cuda::compute_byte_rows(stream_of(device, stream), there, kind, constants, at);
        },
        py::arg("rows"), py::arg("metric"), py::arg("constants"), py::arg("at"), py::arg("device"),
        py::arg("stream"));
}

}  // namespace nearfield::bindings
