// Gathered rows, 64 bytes of one after the other: loops that a compiler turns into what vectors it has.
#pragma once

#include "kernels/generic/gathered.h"

namespace nearfield::kernels {
namespace {

struct GatherBytes {
    using Sum = std::int32_t;
    using Query = const std::int8_t*;
    static constexpr std::size_t kBytes = 64;
    static Sum zero() noexcept { return 0; }
    static Query load(const std::int8_t* q, std::size_t k) noexcept { return q + k; }
    static Sum add(Sum sum, const std::uint8_t* row, Query q) noexcept {
        for (std::size_t k = 0; k < kBytes; ++k) sum += row[k] * q[k];
        return sum;
    }
    template <std::size_t R>
    static void store(const Sum* sum, std::int32_t* out) noexcept {
        for (std::size_t r = 0; r < R; ++r) out[r] = sum[r];
    }
};

struct GatherNibbles : GatherBytes {
    static Query load(const std::int8_t* q, std::size_t k) noexcept { return q + 2 * k; }
    static Sum add(Sum sum, const std::uint8_t* row, Query q) noexcept {
        for (std::size_t k = 0; k < kBytes; ++k) {
            sum += (row[k] & 15) * q[k] + (row[k] >> 4) * q[k + kBytes];
        }
        return sum;
    }
};

}  // namespace
}  // namespace nearfield::kernels
