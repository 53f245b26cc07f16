// What Python says about how the rows of an index are coded, and what it is told back.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "index/row_coding.h"
#include "index/row_store.h"

namespace nearfield::bindings {

/// quantizer: a Quantizer or None (null then); the index gets its own copy.
std::shared_ptr<const RowCoding> coding_from(const pybind11::object& quantizer, bool keeps_rows,
                                             bool residual);

/// The quantizer's name, or that of the type in which rows are stored.
std::string quantizer_of(const RowStore& store);

}  // namespace nearfield::bindings
