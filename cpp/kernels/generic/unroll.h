// unroll<N>(f): f(0), f(1), ... with indices known at compile time. An array indexed only this way
// lives in registers from the first compiler pass on; one indexed by a loop is kept in memory by GCC
// even when the loop is unrolled later.
#pragma once

#include <cstddef>

/// For the lambdas given to unroll(): they must vanish before registers are assigned.
#define NEARFIELD_INLINE noexcept __attribute__((always_inline))

namespace nearfield::kernels {
namespace {

template <std::size_t N>
struct Index {
    constexpr operator std::size_t() const noexcept { return N; }
};

template <std::size_t N, class F>
[[gnu::always_inline]] inline void unroll(const F& f) noexcept {
    if constexpr (N > 0) {
        unroll<N - 1>(f);
        f(Index<N - 1>{});
    }
}

}  // namespace
}  // namespace nearfield::kernels
