// The rank-th largest of many floats: a range of values is halved until as many as wanted are above
// its lower end.
//
// Values are halved first, which takes about log2 n steps where they are spread evenly; then their bit
// patterns, which ends whatever the values are. Floats are compared as integers of the same order, so
// that compilers may vectorise every pass. Source: own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nearfield::kernels {
namespace {

/// Its own inverse, but for the type.
inline std::int32_t flip_negative(std::int32_t bits) noexcept {
    return bits ^ ((bits >> 31) & 0x7fffffff);
}
/// An integer in the order of values; minus zero comes before zero.
inline std::int32_t order_of(float value) noexcept {
    return flip_negative(__builtin_bit_cast(std::int32_t, value));
}
inline float value_of(std::int32_t order) noexcept {
    return __builtin_bit_cast(float, flip_negative(order));
}

inline std::size_t count_from(const float* x, std::size_t n, std::int32_t least) noexcept {
    std::uint32_t count = 0;
    for (std::size_t i = 0; i < n; ++i) count += order_of(x[i]) >= least ? 1U : 0U;
    return count;
}

inline float nth_largest_f32(const float* x, std::size_t n, std::size_t rank) noexcept {
    constexpr int kValueSteps = 24;
    std::int32_t low = order_of(x[0]);
    std::int32_t high = low;
    for (std::size_t i = 0; i < n; ++i) {
        const std::int32_t order = order_of(x[i]);
        low = order < low ? order : low;
        high = order > high ? order : high;
    }
    if (count_from(x, n, high) >= rank) return value_of(high);
    // At least rank values from low on, fewer from high on.
    std::size_t above = n;
    for (int step = 0; above != rank && std::int64_t{high} - low > 1; ++step) {
        auto middle = static_cast<std::int32_t>((std::int64_t{low} + high) >> 1);
        if (step < kValueSteps) {
            const std::int32_t even = order_of(0.5f * value_of(low) + 0.5f * value_of(high));
            middle = even > low && even < high ? even : middle;  // neighbours, infinities
        }
        const std::size_t count = count_from(x, n, middle);
        low = count >= rank ? middle : low;
        above = count >= rank ? count : above;
        high = count >= rank ? high : middle;
    }
    std::int32_t least = high;
    for (std::size_t i = 0; i < n; ++i) {
        const std::int32_t order = order_of(x[i]);
        least = order >= low && order < least ? order : least;
    }
    return value_of(least);
}

}  // namespace
}  // namespace nearfield::kernels
