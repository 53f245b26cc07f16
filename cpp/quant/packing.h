// Code numbers of a few bits, side by side in bytes: number j takes bits j * nbits and up of the row,
// lowest bit first (the order of FAISS's bit strings; at 4 bits, even numbers are low nibbles).
#pragma once

#include <cstddef>
#include <cstdint>

namespace nearfield {

/// Bytes of m numbers.
constexpr std::size_t packed_bytes(std::size_t m, std::size_t nbits) noexcept {
    return (m * nbits + 7) / 8;
}

/// Adds number j to a code whose bits are zero there; nbits up to 16.
inline void put_number(std::uint8_t* code, std::size_t j, std::size_t nbits,
                       std::uint32_t number) noexcept {
    std::uint8_t* const at = code + j * nbits / 8;
    const std::uint32_t bits = number << (j * nbits % 8);
    at[0] = static_cast<std::uint8_t>(at[0] | bits);
    if ((bits >> 8) != 0) at[1] = static_cast<std::uint8_t>(at[1] | (bits >> 8));
    if ((bits >> 16) != 0) at[2] = static_cast<std::uint8_t>(at[2] | (bits >> 16));
}

/// Number j of a code of `bytes` bytes.
inline std::uint32_t get_number(const std::uint8_t* code, std::size_t bytes, std::size_t j,
                                std::size_t nbits) noexcept {
    const std::size_t at = j * nbits / 8;
    std::uint32_t bits = code[at];
    if (at + 1 < bytes) bits |= static_cast<std::uint32_t>(code[at + 1]) << 8;
    if (at + 2 < bytes) bits |= static_cast<std::uint32_t>(code[at + 2]) << 16;
    return (bits >> (j * nbits % 8)) & ((1u << nbits) - 1u);
}

inline void pack_nibbles(const std::uint8_t* bytes, std::size_t n, std::uint8_t* code) noexcept {
    for (std::size_t i = 0; i < n / 2; ++i) {
        code[i] = static_cast<std::uint8_t>(bytes[2 * i] | (bytes[2 * i + 1] << 4));
    }
    if (n % 2 != 0) code[n / 2] = bytes[n - 1];
}

inline void unpack_nibbles(const std::uint8_t* code, std::size_t n, std::uint8_t* bytes) noexcept {
    for (std::size_t i = 0; i < n / 2; ++i) {
        bytes[2 * i] = code[i] & 15;
        bytes[2 * i + 1] = static_cast<std::uint8_t>(code[i] >> 4);
    }
    if (n % 2 != 0) bytes[n - 1] = code[n / 2] & 15;
}

}  // namespace nearfield
