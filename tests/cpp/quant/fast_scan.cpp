// The fast scan's promise: a score lies within the bounds of its sum of bytes, whatever the tables.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/types.h"
#include "check.h"
#include "kernels/resolve.h"
#include "kernels/values.h"
#include "quant/packing.h"
#include "quant/pq/fast_scan.h"

using nearfield::Random;
using nearfield::round_up;

namespace {

constexpr std::size_t kRows = 200;
constexpr std::size_t kSubspaces[] = {1, 2, 7, 8, 9, 33, 64, 257, 300, 1024};

std::vector<std::uint8_t> random_codes(Random& random, std::size_t m, std::size_t n) {
    std::vector<std::uint8_t> codes(n * nearfield::packed_bytes(m, 4), 0);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < m; ++j) {
            nearfield::put_number(codes.data() + i * nearfield::packed_bytes(m, 4), j, 4,
                                  static_cast<std::uint32_t>(random.below(16)));
        }
    }
    return codes;
}

/// Entries that rounding to one step gets wrong first.
float entry(Random& random, int kind, std::size_t j) {
    const float x = values::gaussian(random);
    switch (kind) {
        case 0: return x;
        case 1: return j == 0 ? x * 1e6f : x;  // one sub-space dwarfs the others
        case 2: return x * 1e-3f - 1e4f;       // far from zero
        case 3: return 0.25f;                  // constant
        case 4: return -x * x * std::ldexp(1.0f, static_cast<int>(random.below(60)) - 30);
        case 5: return random.below(2) == 0 ? 1e30f : -1e30f;
        case 6: return x * 1e-38f;
        default: return std::floor(x) + 0.5f;  // ties of rounding
    }
}

std::vector<std::uint32_t> sums_of(const std::vector<std::uint8_t>& blocks, std::size_t m,
                                   const std::vector<std::uint8_t>& tables) {
    const std::uint32_t threshold = 0;
    std::vector<std::uint32_t> sum(kRows + nearfield::kernels::kScanSlack);
    auto row = sum;
    std::size_t found = 0;
    nearfield::kernels::active().scan_u4({blocks.data(), nearfield::scan_chunks(m), kRows,
                                          tables.data(), 1, &threshold, sum.data(), row.data(),
                                          sum.size(), &found});
    CHECK_EQ(found, kRows);
    return sum;
}

}  // namespace

TEST(scores_lie_within_their_bounds) {
    Random random(1);
    for (int kind = 0; kind < 8; ++kind) {
        for (const std::size_t m : kSubspaces) {
            std::vector<float> tables(round_up(m, 32) * 16, 0.0f);
            for (std::size_t i = 0; i < m * 16; ++i) tables[i] = entry(random, kind, i / 16);
            const auto codes = random_codes(random, m, kRows);
            std::vector<std::uint8_t> blocks(nearfield::packed_scan_bytes(m, kRows), 0);
            nearfield::pack_scan_rows(codes.data(), kRows, m, 0, blocks.data());
            std::vector<std::uint8_t> bytes(nearfield::scan_chunks(m) *
                                            nearfield::kernels::kScanChunk);
            const auto scale = nearfield::round_tables(tables.data(), m, bytes.data());
            const auto sums = sums_of(blocks, m, bytes);
            std::vector<std::uint8_t> numbers(m);
            for (std::size_t i = 0; i < kRows; ++i) {
                nearfield::unpack_nibbles(codes.data() + i * ((m + 1) / 2), m, numbers.data());
                float score = 0.0f;
                nearfield::kernels::active().table_sums_u8(tables.data(), 16, numbers.data(), m, 1,
                                                           &score);
                CHECK(scale.lower(sums[i]) <= static_cast<double>(score));
                CHECK(static_cast<double>(score) <= scale.upper(sums[i]));
                CHECK(sums[i] >= scale.threshold(static_cast<double>(score)));
            }
            // The bound is worth something: no wider than one step a sub-quantizer and rounding.
            double magnitude = 0.0;
            for (std::size_t j = 0; j < m; ++j) {
                float most = 0.0f;
                for (std::size_t c = 0; c < 16; ++c)
                    most = std::max(most, std::fabs(tables[j * 16 + c]));
                magnitude += static_cast<double>(most);
            }
            const auto subspaces = static_cast<double>(m);
            CHECK(scale.up + scale.down <=
                  subspaces * scale.scale * 1.0001 + 1e-5 * (1 + subspaces / 32) * magnitude);
        }
    }
}

TEST(thresholds_beyond_the_range_keep_nothing_or_all) {
    std::vector<float> tables(32 * 16, 0.0f);
    for (std::size_t c = 0; c < 16; ++c) tables[c] = static_cast<float>(c);
    std::vector<std::uint8_t> bytes(nearfield::kernels::kScanChunk);
    const auto scale = nearfield::round_tables(tables.data(), 1, bytes.data());
    CHECK_EQ(scale.threshold(-1e30), 0U);
    CHECK_EQ(scale.threshold(1e30), 65536U);
    CHECK(scale.threshold(15.0) <= 255U);
    CHECK(scale.threshold(14.5) > 238U);
}

TEST(packed_rows_come_back_however_they_came) {
    Random random(3);
    for (const std::size_t m : kSubspaces) {
        const std::size_t size = (m + 1) / 2;
        const auto codes = random_codes(random, m, kRows);
        std::vector<std::uint8_t> once(nearfield::packed_scan_bytes(m, kRows), 0);
        auto pieces = once;
        nearfield::pack_scan_rows(codes.data(), kRows, m, 0, once.data());
        for (std::size_t first = 0; first < kRows;) {
            const std::size_t count = std::min<std::size_t>(1 + random.below(50), kRows - first);
            nearfield::pack_scan_rows(codes.data() + first * size, count, m, first, pieces.data());
            first += count;
        }
        CHECK(once == pieces);
        std::vector<std::uint8_t> code(size);
        for (std::size_t i = 0; i < kRows; ++i) {
            nearfield::unpack_scan_row(once.data(), i, m, code.data());
            CHECK_EQ(std::memcmp(code.data(), codes.data() + i * size, size), 0);
        }
    }
}
