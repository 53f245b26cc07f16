// The core's exceptions as Python exceptions, and Ctrl-C in long calls.
#pragma once

#include <pybind11/pybind11.h>

namespace nearfield::bindings {

/// Turns the core's exceptions into the classes of nearfield.errors and the built-in ones, and lets
/// long calls notice Python's signals.
void bind_errors(pybind11::module_& module);

}  // namespace nearfield::bindings
