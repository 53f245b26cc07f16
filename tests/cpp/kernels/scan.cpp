// 4-bit codes against byte tables.
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"

using nearfield::Random;
using nearfield::kernels::kScanChunk;
using nearfield::kernels::kScanQueries;
using nearfield::kernels::kScanRows;
using nearfield::kernels::kScanSlack;
using nearfield::kernels::ScanArgs;

namespace {

struct Hits {
    std::vector<std::uint32_t> rows;
    std::vector<std::uint32_t> sums;
};

/// By definition, row by row and nibble by nibble.
Hits naive(const ScanArgs& a, std::size_t query) {
    Hits hits;
    for (std::size_t row = 0; row < a.rows; ++row) {
        std::uint32_t sum = 0;
        for (std::size_t j = 0; j < a.chunks * 8; ++j) {
            const std::size_t chunk = j / 8;
            const std::uint8_t byte = a.codes[(row / kScanRows * a.chunks + chunk) * kScanChunk +
                                              row % kScanRows * 4 + j % 8 / 2];
            const std::size_t code = j % 2 == 0 ? byte & 15u : byte >> 4;
            sum += a.tables[(query * a.chunks + chunk) * kScanChunk + j % 2 * 64 + j % 8 / 2 * 16 +
                            code];
        }
        if (sum < a.threshold[query]) continue;
        hits.rows.push_back(static_cast<std::uint32_t>(row));
        hits.sums.push_back(sum);
    }
    return hits;
}

std::size_t blocks_of(std::size_t rows) { return (rows + kScanRows - 1) / kScanRows; }

}  // namespace

TEST_LEVELS(hits_are_the_rows_that_reach_the_threshold) {
    Random random(1);
    for (const std::size_t chunks : {1U, 2U, 5U, 32U}) {
        for (const std::size_t rows : {1U, 15U, 16U, 17U, 32U, 33U, 64U, 65U, 96U, 200U}) {
            for (std::size_t queries = 1; queries <= kScanQueries; ++queries) {
                const std::size_t code_bytes = blocks_of(rows) * chunks * kScanChunk;
                guarded::Arena code_memory(code_bytes);
                guarded::Arena table_memory(queries * chunks * kScanChunk);
                auto* codes = code_memory.back<std::uint8_t>(code_bytes);
                auto* tables = table_memory.back<std::uint8_t>(queries * chunks * kScanChunk);
                const bool largest = random.below(4) == 0;
                for (std::size_t i = 0; i < code_bytes; ++i)
                    codes[i] = static_cast<std::uint8_t>(random.next());
                for (std::size_t i = 0; i < queries * chunks * kScanChunk; ++i)
                    tables[i] = largest ? 255 : static_cast<std::uint8_t>(random.next());
                const std::size_t capacity = rows + kScanSlack;
                guarded::Arena hit_memory(queries * capacity * 8);
                auto* sum = hit_memory.back<std::uint32_t>(2 * queries * capacity);
                const auto middle = static_cast<std::uint32_t>(chunks * 8 * 128);
                const std::uint32_t threshold[] = {
                    0, middle, largest ? middle * 255 / 128 : middle + 400, 65536};
                std::size_t found[kScanQueries];
                const ScanArgs args{codes,    chunks,    rows, tables,
                                    queries,  threshold, sum,  sum + queries * capacity,
                                    capacity, found};
                table.scan_u4(args);
                for (std::size_t q = 0; q < queries; ++q) {
                    const Hits expected = naive(args, q);
                    CHECK_EQ(found[q], expected.rows.size());
                    for (std::size_t i = 0; i < found[q]; ++i) {
                        CHECK_EQ(args.row[q * capacity + i], expected.rows[i]);
                        CHECK_EQ(args.sum[q * capacity + i], expected.sums[i]);
                    }
                }
            }
        }
    }
}
