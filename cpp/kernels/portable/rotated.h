// Scans over rotated codes, one element after the other.
#pragma once

#include "kernels/generic/planes.h"

namespace nearfield::kernels {
namespace {

inline void pack_planes(const std::uint8_t* code, std::size_t n, std::size_t bits,
                        std::uint8_t* planes) noexcept {
    pack_planes_from(code, 0, n, bits, planes);
}

inline void unpack_planes(const std::uint8_t* planes, std::size_t n, std::size_t bits,
                          std::uint8_t* code) noexcept {
    unpack_planes_from(planes, 0, n, bits, code);
}

inline void rows_u4(const std::uint8_t* rows, std::size_t stride, std::size_t count,
                    const std::int8_t* q, std::size_t depth, std::int32_t init,
                    std::int32_t* out) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint8_t* row = rows + i * stride;
        std::int32_t sum = init;
        for (std::size_t k = 0; k < depth; ++k) {
            const std::int8_t* p = q + k / 64 * 128 + k % 64;
            sum += (row[k] & 15) * p[0] + (row[k] >> 4) * p[64];
        }
        out[i] = sum;
    }
}

inline std::size_t scan_signs(const SignScan& a, const SignHits& hits) noexcept {
    const std::uint8_t* high = a.table + sign_table_bytes(a.bytes) / 2;
    std::size_t n = 0;
    for (std::size_t first = 0; first < a.count; first += kSignRows) {
        const std::uint8_t* block = a.blocks + first * a.bytes;
        std::uint32_t sums[kSignRows] = {};
        for (std::size_t g = 0; g < a.bytes; ++g) {
            for (std::size_t j = 0; j < kSignRows; ++j) {
                const std::uint8_t byte = block[g * kSignRows + j];
                sums[j] += static_cast<std::uint32_t>(a.table[g * 32 + (byte & 15)]) +
                           high[g * 32 + (byte >> 4)];
            }
        }
        for (std::size_t j = 0; j < kSignRows && first + j < a.count; ++j) {
            n = report_row(a, first + j, sums[j], hits, n);
        }
    }
    return n;
}

}  // namespace
}  // namespace nearfield::kernels
