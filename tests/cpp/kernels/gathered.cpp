// Rows anywhere in memory against one query: sums equal to those of a plain loop, whatever the bytes are, and
// nothing read beyond a row.
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "kernels/guarded.h"
#include "kernels/levels.h"

using nearfield::Random;

namespace {

std::int32_t sum_u8(const std::uint8_t* row, const std::int8_t* q, std::size_t depth) {
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < depth; ++k) sum += row[k] * q[k];
    return sum;
}

std::int32_t sum_u4(const std::uint8_t* row, const std::int8_t* q, std::size_t depth) {
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < depth; ++k) {
        const std::int8_t* const p = q + k / 64 * 128 + k % 64;
        sum += (row[k] & 15) * p[0] + (row[k] >> 4) * p[64];
    }
    return sum;
}

/// Random bytes, or the largest products of either sign.
struct Bytes {
    std::uint8_t row(Random& random) const {
        return extreme ? 255 : static_cast<std::uint8_t>(random.next());
    }
    std::int8_t query(Random& random) const {
        if (extreme) return negative ? -127 : 127;
        return static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
    }
    bool extreme = false;
    bool negative = false;
};

/// Rows of `depth` bytes, the last one against a guard page, or the first one.
template <class Gather, class Sum>
void check_gather(Gather gather, Sum sum, std::size_t depth, std::size_t stride, bool at_back,
                  const Bytes& bytes, Random& random) {
    constexpr std::size_t kRows = 9;
    constexpr std::size_t kMost = 21;
    const std::size_t total = (kRows - 1) * stride + depth;
    guarded::Arena memory(total);
    guarded::Arena asked(2 * depth);
    guarded::Arena results(kMost * sizeof(std::int32_t));
    auto* const rows = memory.at<std::uint8_t>(at_back, total);
    auto* const q = asked.at<std::int8_t>(at_back, 2 * depth);
    for (std::size_t b = 0; b < total; ++b) rows[b] = bytes.row(random);
    for (std::size_t k = 0; k < 2 * depth; ++k) q[k] = bytes.query(random);
    for (std::size_t count = 0; count <= kMost; ++count) {
        std::vector<std::uint32_t> ids(count);
        for (auto& id : ids) id = static_cast<std::uint32_t>(random.below(kRows));
        if (count != 0) ids[random.below(count)] = at_back ? kRows - 1 : 0;
        auto* const out = results.back<std::int32_t>(count);
        gather(rows, stride, ids.data(), count, q, depth, out);
        for (std::size_t i = 0; i < count; ++i) {
            CHECK_EQ(out[i], sum(rows + ids[i] * stride, q, depth));
        }
    }
}

template <class Gather, class Sum>
void check_shapes(Gather gather, Sum sum, const Bytes& bytes) {
    Random random(31);
    for (const std::size_t depth : {64U, 128U, 192U, 256U, 320U, 384U, 448U, 512U, 4096U}) {
        for (const std::size_t more : {0U, 1U, 8U, 64U}) {
            for (const bool at_back : {false, true}) {
                check_gather(gather, sum, depth, depth + more, at_back, bytes, random);
            }
        }
    }
    // Records of which less than their stride counts, and rows that overlap.
    check_gather(gather, sum, 64, 200, true, bytes, random);
    check_gather(gather, sum, 192, 200, true, bytes, random);
    check_gather(gather, sum, 64, 56, true, bytes, random);
}

}  // namespace

TEST_LEVELS(bytes_are_summed) { check_shapes(table.gather_u8, sum_u8, {}); }

TEST_LEVELS(nibbles_are_summed) { check_shapes(table.gather_u4, sum_u4, {}); }

TEST_LEVELS(sums_of_extreme_bytes_are_exact) {
    for (const bool negative : {false, true}) {
        check_shapes(table.gather_u8, sum_u8, {.extreme = true, .negative = negative});
        check_shapes(table.gather_u4, sum_u4, {.extreme = true, .negative = negative});
    }
}

TEST_LEVELS(query_bytes_of_minus_128_are_exact) {
    std::vector<std::int8_t> q(256, -128);
    const std::vector<std::uint8_t> rows(128, 255);
    const std::uint32_t id = 0;
    std::int32_t out = 0;
    table.gather_u8(rows.data(), 128, &id, 1, q.data(), 128, &out);
    CHECK_EQ(out, 128 * 255 * -128);
}

TEST_LEVELS(rows_beyond_4_gigabytes_are_found) {
    // Numbers and strides multiply in 64 bits: the row lies where `rows` plus 2^32 and more points.
    constexpr std::size_t kStride = std::size_t{1} << 20;
    constexpr std::uint32_t kId = 5000;
    const std::vector<std::uint8_t> row(64, 3);
    const std::vector<std::int8_t> q(128, 2);
    const auto address = reinterpret_cast<std::uintptr_t>(row.data()) - kId * kStride;
    const auto* const rows = reinterpret_cast<const std::uint8_t*>(address);
    std::int32_t out = 0;
    table.gather_u8(rows, kStride, &kId, 1, q.data(), 64, &out);
    CHECK_EQ(out, 64 * 6);
    table.gather_u4(rows, kStride, &kId, 1, q.data(), 64, &out);
    CHECK_EQ(out, 64 * 6);
}
