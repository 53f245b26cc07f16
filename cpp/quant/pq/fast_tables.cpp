#include "quant/pq/fast_tables.h"

#include <algorithm>

#include "kernels/resolve.h"

namespace nearfield {

FastTable::FastTable(const Quantizer& quantizer, Metric metric, const float* query) {
    const std::size_t numbers = quantizer.scan_numbers();
    thread_local std::vector<float> entries;
    entries.resize(numbers * 16);
    quantizer.scan_tables(metric, query, entries.data());
    bytes_.resize(scan_chunks(numbers) * kernels::kScanChunk);
    scale_ = round_tables(entries.data(), numbers, bytes_.data());
}

FastPass::FastPass(std::size_t numbers)
    : numbers_(numbers),
      chunks_(scan_chunks(numbers)),
      tables_(kQueries * chunks_ * kernels::kScanChunk),
      sum_(kQueries * kCapacity),
      row_(kQueries * kCapacity) {}

void FastPass::set(std::size_t query, const FastTable& table) {
    std::copy(table.bytes().begin(), table.bytes().end(),
              tables_.begin() + static_cast<std::ptrdiff_t>(query * table.bytes().size()));
}

void FastPass::scan(const std::uint8_t* packed, std::size_t first, std::size_t n,
                    std::span<const std::uint32_t> thresholds) {
    const std::size_t block = chunks_ * kernels::kScanChunk;
    kernels::active().scan_u4({packed + first / kScanBlock * block, chunks_, n, tables_.data(),
                               thresholds.size(), thresholds.data(), sum_.data(), row_.data(),
                               kCapacity, found_});
}

}  // namespace nearfield
