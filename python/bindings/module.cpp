// nearfield._core: wiring only.
#include <pybind11/pybind11.h>

#include "bind.h"
#include "errors.h"
#include "kernels/resolve.h"

PYBIND11_MODULE(_core, module) {
    module.doc() = "Native engine of nearfield.";
    nearfield::bindings::bind_errors(module);
    nearfield::kernels::active();  // a bad NEARFIELD_ISA is an error at import, not at first search
    nearfield::bindings::bind_flat(module);
    nearfield::bindings::bind_runtime(module);
}
