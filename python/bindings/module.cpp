// nearfield._core: wiring only.
#include <pybind11/pybind11.h>

#include "base/parallel.h"
#include "base/thread_count.h"
#include "bind.h"
#include "errors.h"
#include "kernels/resolve.h"

PYBIND11_MODULE(_core, module) {
    module.doc() = "Native engine of nearfield.";
    nearfield::bindings::bind_errors(module);
    // A bad NEARFIELD_ISA or NEARFIELD_NUM_THREADS is an error at import, not at the first search.
    nearfield::kernels::active();
    nearfield::detail::default_thread_count(nearfield::kMaxThreads);
    nearfield::bindings::bind_transforms(module);
    nearfield::bindings::bind_index(module);
    nearfield::bindings::bind_kinds(module);
    nearfield::bindings::bind_kmeans(module);
    nearfield::bindings::bind_quant(module);
    nearfield::bindings::bind_runtime(module);
    nearfield::bindings::bind_cuda(module);
}
