// Maps of matrices on a device, from which kernels copy boxes (kernels/box_copy.cuh).
#pragma once

#include "cuda/runtime/device.h"
#include "cuda/search/request.h"

namespace nearfield::cuda {

/// Bytes of a row of a box.
inline constexpr std::size_t kBoxBytes = 128;

/// Halves or bytes, both the address and rows at multiples of 16 bytes.
bool is_mapped(const DeviceRows& matrix) noexcept;

/// DeviceError where the driver does not take the matrix.
CUtensorMap box_map(const Device& device, const DeviceRows& matrix, std::size_t box_rows);

}  // namespace nearfield::cuda
