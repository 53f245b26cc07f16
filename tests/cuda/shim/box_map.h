// What the stand-in driver writes into a CUtensorMap, and the shim's copies read from it: a matrix in rows, the
// box that is copied, swizzling of 128 bytes.
#pragma once

#include <cstdint>

namespace nearfield::shim {

inline constexpr std::uint64_t kBoxMapMark = 0x6e662d626f782d31;

struct BoxMap {
    std::uint64_t mark;
    std::uint64_t address;
    std::uint64_t columns, rows;  // of the matrix
    std::uint64_t stride;         // bytes
    std::uint64_t box_columns, box_rows;
    std::uint64_t element_bytes;
};

}  // namespace nearfield::shim
