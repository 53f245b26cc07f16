// One function per noun; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace nearfield::bindings {

void bind_index(pybind11::module_& module);
void bind_kinds(pybind11::module_& module);
void bind_kmeans(pybind11::module_& module);
void bind_quant(pybind11::module_& module);
void bind_runtime(pybind11::module_& module);
void bind_cuda(pybind11::module_& module);
void bind_cuda_bytes(pybind11::module_& m);
void bind_cuda_codes(pybind11::module_& m);
void bind_cuda_coded_lists(pybind11::module_& m);
void bind_cuda_lists(pybind11::module_& m);
void bind_cuda_shards(pybind11::module_& module);
void bind_cuda_graph(pybind11::module_& module);
void bind_cuda_training(pybind11::module_& module);
void bind_cuda_transforms(pybind11::module_& cuda);
void bind_transforms(pybind11::module_& module);

}  // namespace nearfield::bindings
