// Packing and rounding for the fast scan, see fast_scan.h.
#include "quant/pq/fast_scan.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/table.h"

namespace nearfield {
namespace {

using kernels::kScanChunk;
using kernels::kScanRows;

constexpr double kLargestSum = 65535.0;

/// Where bytes 4 c and up of a row's code lie.
std::size_t word_offset(std::size_t row, std::size_t c, std::size_t chunks) noexcept {
    return (row / kScanRows * chunks + c) * kScanChunk + row % kScanRows * 4;
}

/// Where the 16 entries of sub-quantizer j lie.
std::size_t table_offset(std::size_t j) noexcept {
    return j / 8 * kScanChunk + j % 2 * 64 + j % 8 / 2 * 16;
}

struct Range {
    double least;
    double most;
};

Range range_of(const float* entries) noexcept {
    // Four at a time, without branches.
    float low[4];
    float high[4];
    for (std::size_t i = 0; i < 4; ++i) low[i] = high[i] = entries[i];
    for (std::size_t c = 4; c < 16; c += 4) {
        for (std::size_t i = 0; i < 4; ++i) {
            low[i] = std::min(low[i], entries[c + i]);
            high[i] = std::max(high[i], entries[c + i]);
        }
    }
    return {static_cast<double>(std::min(std::min(low[0], low[1]), std::min(low[2], low[3]))),
            static_cast<double>(std::max(std::max(high[0], high[1]), std::max(high[2], high[3])))};
}

}  // namespace

std::size_t packed_scan_bytes(std::size_t m, std::size_t n) noexcept {
    return (n + kScanRows - 1) / kScanRows * scan_chunks(m) * kScanChunk;
}

void pack_scan_rows(const std::uint8_t* codes, std::size_t n, std::size_t m, std::size_t first,
                    std::uint8_t* blocks) noexcept {
    const std::size_t bytes = (m + 1) / 2;
    const std::size_t chunks = scan_chunks(m);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t c = 0; c < chunks; ++c) {
            std::uint8_t word[4] = {};
            std::memcpy(word, codes + i * bytes + 4 * c, std::min<std::size_t>(4, bytes - 4 * c));
            std::memcpy(blocks + word_offset(first + i, c, chunks), word, 4);
        }
    }
}

void unpack_scan_row(const std::uint8_t* blocks, std::size_t row, std::size_t m,
                     std::uint8_t* code) noexcept {
    const std::size_t bytes = (m + 1) / 2;
    const std::size_t chunks = scan_chunks(m);
    for (std::size_t c = 0; c < chunks; ++c) {
        std::memcpy(code + 4 * c, blocks + word_offset(row, c, chunks),
                    std::min<std::size_t>(4, bytes - 4 * c));
    }
}

std::uint32_t ScanScale::threshold(double floor) const noexcept {
    // Rounding here is far below one step: sums and steps have 53 bits.
    const double sum = std::ceil((floor - up - bias) / scale - 1e-6);
    if (!(sum > 0.0)) return 0;
    return sum > kLargestSum ? 65536u : static_cast<std::uint32_t>(sum);
}

std::uint32_t sum_entries(const std::uint8_t* bytes, const std::uint8_t* code,
                          std::size_t m) noexcept {
    std::uint32_t sum = 0;
    for (std::size_t j = 0; j < m; ++j) {
        sum += bytes[table_offset(j) + (code[j / 2] >> (j % 2 * 4) & 15)];
    }
    return sum;
}

ScanScale round_tables(const float* tables, std::size_t m, std::uint8_t* bytes) noexcept {
    std::memset(bytes, 0, scan_chunks(m) * kScanChunk);
    ScanScale out;
    double widest = 0.0;
    double magnitude = 0.0;
    for (std::size_t j = 0; j < m; ++j) {
        const Range range = range_of(tables + 16 * j);
        widest = std::max(widest, range.most - range.least);
        magnitude += std::max(std::fabs(range.least), std::fabs(range.most));
        out.bias += range.least;
    }
    if (!std::isfinite(widest)) {  // scores that overflowed: every sum may be anything
        out.up = out.down = std::numeric_limits<double>::infinity();
        return out;
    }
    const double top = std::min(255.0, std::floor(kLargestSum / static_cast<double>(m)));
    if (widest > 0.0) out.scale = widest / top;
    const double inverse = 1.0 / out.scale;
    for (std::size_t j = 0; j < m; ++j) {
        const float* entries = tables + 16 * j;
        const double least = range_of(entries).least;
        std::uint8_t* const to = bytes + table_offset(j);
        for (std::size_t c = 0; c < 16; ++c) {
            // Truncation is floor here, and no call.
            const double steps = (static_cast<double>(entries[c]) - least) * inverse;
            to[c] = static_cast<std::uint8_t>(static_cast<std::int32_t>(steps + 0.5));
        }
    }
    // Every entry is off by half a step at most.
    out.up = widest > 0.0 ? 0.5 * out.scale * static_cast<double>(m) * (1.0 + 0x1p-30) : 0.0;
    out.down = out.up;
    // A score is added in 32 lanes and 5 levels of pairs, each addition off by 2^-24 of a partial sum;
    // what is rounded in float64 here is far less.
    const double slack = (static_cast<double>(m) / 32 + 8) * 0x1p-23 * magnitude;
    out.up += slack;
    out.down += slack;
    return out;
}

}  // namespace nearfield
