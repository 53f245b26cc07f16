// The vocabulary every layer shares: metrics, element types, ids.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nearfield {

/// Row number inside the engine. A user's 64-bit label is translated at the API edge.
using Id = std::uint32_t;

/// How two vectors are compared. Values are part of the file format: never renumber.
enum class Metric : std::uint8_t { kL2 = 0, kIp = 1, kCosine = 2 };

/// Element type of stored rows. Values are part of the file format: never renumber.
enum class DType : std::uint8_t { kF32 = 0, kF16 = 1, kBF16 = 2, kI8 = 3, kU8 = 4 };

/// Bytes of one element.
constexpr std::size_t size_of(DType dtype) noexcept {
    switch (dtype) {
        case DType::kF32: return 4;
        case DType::kF16:
        case DType::kBF16: return 2;
        case DType::kI8:
        case DType::kU8: return 1;
    }
    return 0;
}

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) noexcept {
    return (n + multiple - 1) / multiple * multiple;
}

}  // namespace nearfield
