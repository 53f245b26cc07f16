// Matrices on a device, and ways to scan them, as Python names them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>

#include "arrays.h"
#include "cuda/cuda.h"

namespace nearfield::bindings {

/// (address, rows, cols, stride in elements, dtype)
using DeviceMatrix = std::tuple<std::uintptr_t, std::size_t, std::size_t, std::size_t, std::string>;

inline cuda::DeviceRows rows_of(const DeviceMatrix& matrix) {
    const auto& [address, rows, cols, stride, dtype] = matrix;
    return {address, rows, cols, stride, dtype_from(dtype)};
}

inline cuda::Scan scan_from(const std::string& name) {
    if (name == "groups") return cuda::Scan::kGroups;
    if (name == "thresholds") return cuda::Scan::kThresholds;
    if (name == "bytes") return cuda::Scan::kBytes;
    throw py::value_error("scan: got '" + name + "', expected 'groups', 'thresholds' or 'bytes'");
}

/// As RowMap names them.
inline cuda::RowMap map_of(const py::dict& fields) {
    const auto number = [&](const char* name) { return fields[name].cast<std::size_t>(); };
    return {number("programs"),   number("count"),          number("numbers"),  number("bags"),
            number("vocabulary"), number("per_query"),      number("widest"),   number("hidden"),
            number("partials"),   number("has_spare") != 0, number("is_beyond")};
}

}  // namespace nearfield::bindings
