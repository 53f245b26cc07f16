// Fast scan: 4-bit product codes against byte tables that stay in registers.
//
// A query's table of floats is rounded to bytes with one step for all sub-quantizers; sums of bytes,
// times the step, estimate the score. What rounding can lose is known, so that for every row
//     bias + scale * sum - down <= score <= bias + scale * sum + up
// where score is what CodeScorer gives: up and down are half a step for each sub-quantizer, plus what float32
// loses in adding m entries.
// Codes are packed in blocks of 32 rows (kernels/table.h, ScanArgs); a block takes 4 bytes a row per 8
// sub-quantizers.
// Source: own; after Andre, Kermarrec, Le Scouarnec, "Cache locality is not enough", 2015.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nearfield {

/// Rows of a block.
inline constexpr std::size_t kScanBlock = 32;

/// Chunks of 8 sub-quantizers.
constexpr std::size_t scan_chunks(std::size_t m) noexcept { return (m + 7) / 8; }

/// Bytes of n packed rows, whole blocks.
std::size_t packed_scan_bytes(std::size_t m, std::size_t n) noexcept;

/// Packs rows [first, first + n) of a store of blocks from their plain codes, (m + 1) / 2 bytes each.
/// What the codes replace is overwritten; rows past the last one of a new block are zero if the memory
/// was.
void pack_scan_rows(const std::uint8_t* codes, std::size_t n, std::size_t m, std::size_t first,
                    std::uint8_t* blocks) noexcept;

/// The plain code of one packed row.
void unpack_scan_row(const std::uint8_t* blocks, std::size_t row, std::size_t m,
                     std::uint8_t* code) noexcept;

/// What a query's byte tables stand for.
struct ScanScale {
    double scale = 1.0;
    double bias = 0.0;
    double up = 0.0;
    double down = 0.0;

    double upper(std::uint32_t sum) const noexcept { return bias + scale * sum + up; }
    double lower(std::uint32_t sum) const noexcept { return bias + scale * sum - down; }
    /// Between them: right on average.
    double estimate(std::uint32_t sum) const noexcept { return bias + scale * sum; }
    /// The smallest sum that a row with a score of at least `floor` can have; above 2^16 where no row
    /// can have it.
    std::uint32_t threshold(double floor) const noexcept;
    /// The smallest sum whose estimate is at least `floor`, or one less.
    std::uint32_t estimate_threshold(double floor) const noexcept { return threshold(floor + up); }
};

/// The sum of a plain code's entries in byte tables.
std::uint32_t sum_entries(const std::uint8_t* bytes, const std::uint8_t* code,
                          std::size_t m) noexcept;

/// Rounds tables (m x 16 scores, larger is better; m at most 65,535) to scan_chunks(m) * 128 bytes.
ScanScale round_tables(const float* tables, std::size_t m, std::uint8_t* bytes) noexcept;

}  // namespace nearfield
