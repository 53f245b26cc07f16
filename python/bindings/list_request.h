// What searches by lists on a device are asked, as Python says it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>

#include "cuda/cuda.h"
#include "device_rows.h"

namespace nearfield::bindings {

/// Beside the queries: metric, k, nprobe, margin, addresses of mask and labels, groups.
using AskedOfLists = std::tuple<std::string, std::size_t, std::size_t, double, std::uintptr_t,
                                std::uintptr_t, std::size_t>;

inline cuda::ListRequest list_request(const DeviceMatrix& queries, const cuda::ListedRows& listed,
                                      const AskedOfLists& asked) {
    const auto& [metric, k, nprobe, margin, mask, labels, groups] = asked;
    return {rows_of(queries), listed, metric_from(metric), k, nprobe, margin, mask, labels, groups};
}

}  // namespace nearfield::bindings
