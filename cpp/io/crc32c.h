// CRC32C (Castagnoli), incremental: crc32c(b, crc32c(a)) == crc32c(a then b).
// Cost: with SSE4.2 three interleaved chains per thread, otherwise eight bytes per table step; the
// instruction is looked for once, at the first call.
// Source: RFC 3720 section 12.1 and appendix B.4 (polynomial, bit order, test vectors); folding
// three chains with "advance by n zero bytes" tables is linear algebra over GF(2), own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nearfield::io {

/// CRC32C of `size` bytes at `data`, continuing from `crc` (0 to begin). data may be null if
/// size=0.
std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t crc = 0) noexcept;

namespace detail {

/// The table form, on every machine; the tests compare it with the instruction.
std::uint32_t crc32c_portable(const void* data, std::size_t size, std::uint32_t crc) noexcept;

}  // namespace detail

}  // namespace nearfield::io
