// SHA-256, to name compiled kernels by what they were compiled from and to notice damage.
// Source: FIPS 180-4. Cost: about 200 MB/s, for inputs of some hundred kB.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nearfield::cuda {

using Digest = std::array<std::uint8_t, 32>;

Digest sha256(std::string_view bytes) noexcept;

/// 64 lower-case digits.
std::string hex(const Digest& digest);

}  // namespace nearfield::cuda
