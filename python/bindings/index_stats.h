// Figures about an index, by name.
#pragma once

#include <pybind11/pybind11.h>

#include "index/index.h"

namespace nearfield::bindings {

/// What every index has, and what its kind adds. Those of a graph read all of its links.
pybind11::dict stats_of(const Index& index);

}  // namespace nearfield::bindings
