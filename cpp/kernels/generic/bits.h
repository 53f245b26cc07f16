// Packed bits: Hamming distance and inner product (popcount of xor / and), 64 bits at a time.
// Popcount is one instruction on every level above portable; the compiler picks it by the level's flags.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nearfield::kernels {
namespace {

template <class Combine>
inline std::uint32_t count_bits(const std::uint8_t* a, const std::uint8_t* b, std::size_t bytes,
                                Combine combine) noexcept {
    std::uint64_t total = 0;
    std::size_t k = 0;
    for (; k + 8 <= bytes; k += 8) {
        std::uint64_t x, y;
        __builtin_memcpy(&x, a + k, 8);
        __builtin_memcpy(&y, b + k, 8);
        total += static_cast<std::uint64_t>(__builtin_popcountll(combine(x, y)));
    }
    for (; k < bytes; ++k) {
        total += static_cast<std::uint64_t>(__builtin_popcountll(
            combine(static_cast<std::uint64_t>(a[k]), static_cast<std::uint64_t>(b[k]))));
    }
    return static_cast<std::uint32_t>(total);
}

inline std::uint32_t hamming_u1(const std::uint8_t* a, const std::uint8_t* b,
                                std::size_t bytes) noexcept {
    return count_bits(a, b, bytes, [](std::uint64_t x, std::uint64_t y) noexcept { return x ^ y; });
}

inline std::uint32_t ip_u1(const std::uint8_t* a, const std::uint8_t* b,
                           std::size_t bytes) noexcept {
    return count_bits(a, b, bytes, [](std::uint64_t x, std::uint64_t y) noexcept { return x & y; });
}

}  // namespace
}  // namespace nearfield::kernels
