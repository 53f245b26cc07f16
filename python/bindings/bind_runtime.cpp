// Threads and CPU levels.
#include "base/cpu.h"
#include "base/parallel.h"
#include "bind.h"
#include "kernels/resolve.h"

namespace nearfield::bindings {
namespace {

namespace py = pybind11;

py::dict features() {
    const CpuFeatures& cpu = cpu_features();
    py::dict d;
    d["avx2"] = cpu.avx2;
    d["avx_vnni"] = cpu.avx_vnni;
    d["avx512"] = cpu.avx512;
    d["avx512_bf16"] = cpu.avx512_bf16;
    d["avx512_vbmi"] = cpu.avx512_vbmi;
    d["amx"] = cpu.amx;
    return d;
}

}  // namespace

void bind_runtime(py::module_& module) {
    module.def("cpu_features", &features);
    module.def("isa", [] { return std::string(kernels::active().name); });
    module.def("available_isas", [] {
        py::list names;
        for (const Isa isa : available_isas()) names.append(isa_name(isa));
        return names;
    });
    module.def("num_threads", &num_threads);
    module.def("set_num_threads", &set_num_threads, py::arg("n"));
    module.attr("MAX_THREADS") = kMaxThreads;
}

}  // namespace nearfield::bindings
