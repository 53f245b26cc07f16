// Corpus adapters of an Index, see index/corpus_adapters.cpp.
#pragma once

#include <pybind11/pybind11.h>

#include <utility>
#include <vector>

#include "index/index.h"

namespace nearfield::bindings {

/// Of pairs (name, weight).
std::vector<AdapterShare> shares_from(const std::vector<std::pair<std::string, double>>& pairs);

void def_corpus_adapters(pybind11::class_<Index>& index);

}  // namespace nearfield::bindings
