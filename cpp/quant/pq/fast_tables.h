// FastTables: byte tables of a few queries, and which packed codes may still be among their best.
//
// Source: fast_scan.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/table.h"
#include "quant/pq/fast_scan.h"
#include "quant/quantizer.h"

namespace nearfield {

/// The byte tables of one query.
class FastTable {
public:
    /// query: rotated, where the quantizer rotates.
    FastTable(const Quantizer& quantizer, Metric metric, const float* query);

    const std::vector<std::uint8_t>& bytes() const noexcept { return bytes_; }
    const ScanScale& scale() const noexcept { return scale_; }

private:
    std::vector<std::uint8_t> bytes_;
    ScanScale scale_;
};

/// One pass over packed codes for up to kScanQueries queries.
class FastPass {
public:
    static constexpr std::size_t kQueries = kernels::kScanQueries;
    /// Rows of one pass, at most.
    static constexpr std::size_t kRows = 320;

    explicit FastPass(std::size_t numbers);

    void set(std::size_t query, const FastTable& table);

    /// Rows [first, first + n) of the packed ones, first a multiple of kScanBlock. thresholds: of the sums.
    void scan(const std::uint8_t* packed, std::size_t first, std::size_t n,
              std::span<const std::uint32_t> thresholds);

    /// The sum of a plain code.
    std::uint32_t sum_of(std::size_t query, const std::uint8_t* code) const noexcept {
        return sum_entries(tables_.data() + query * chunks_ * kernels::kScanChunk, code, numbers_);
    }

    std::size_t found(std::size_t query) const noexcept { return found_[query]; }
    /// The i-th hit of a query: its row, counted from first, and its sum.
    std::uint32_t row(std::size_t query, std::size_t i) const noexcept {
        return row_[query * kCapacity + i];
    }
    std::uint32_t sum(std::size_t query, std::size_t i) const noexcept {
        return sum_[query * kCapacity + i];
    }

private:
    static constexpr std::size_t kCapacity = kRows + kernels::kScanSlack;

    std::size_t numbers_;
    std::size_t chunks_;
    std::vector<std::uint8_t> tables_;
    std::vector<std::uint32_t> sum_;
    std::vector<std::uint32_t> row_;
    std::size_t found_[kQueries] = {};
};

}  // namespace nearfield
