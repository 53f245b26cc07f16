// Seeded random numbers that are the same on every platform and compiler: xoshiro256** seeded by
// splitmix64. std:: distributions are avoided because each library draws them differently.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace nearfield {

/// One step of splitmix64: advances `state`, returns 64 well mixed bits.
constexpr std::uint64_t splitmix64(std::uint64_t& state) noexcept {
    state += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

class Random {
public:
    /// Equal (seed, stream) give equal sequences; streams of one seed are independent, so that a
    /// parallel loop gives every index its own and does not depend on the number of threads.
    constexpr explicit Random(std::uint64_t seed, std::uint64_t stream = 0) noexcept {
        std::uint64_t mixed = seed ^ splitmix64(stream);
        for (std::uint64_t& word : words_) {
            word = splitmix64(mixed);
        }
    }

    /// 64 random bits.
    constexpr std::uint64_t next() noexcept {
        const std::uint64_t result = rotate_left(words_[1] * 5, 7) * 9;
        const std::uint64_t shifted = words_[1] << 17;
        words_[2] ^= words_[0];
        words_[3] ^= words_[1];
        words_[1] ^= words_[2];
        words_[0] ^= words_[3];
        words_[2] ^= shifted;
        words_[3] = rotate_left(words_[3], 45);
        return result;
    }

    /// Uniform in [0, bound) without modulo bias; bound must not be 0.
    constexpr std::uint64_t below(std::uint64_t bound) noexcept {
        __extension__ using Wide = unsigned __int128;
        // The high half of bits * bound is uniform once the few low halves that would make some
        // values more frequent are rejected.
        Wide product = Wide{next()} * bound;
        if (static_cast<std::uint64_t>(product) < bound) {
            const std::uint64_t biased = (0 - bound) % bound;
            while (static_cast<std::uint64_t>(product) < biased) {
                product = Wide{next()} * bound;
            }
        }
        return static_cast<std::uint64_t>(product >> 64);
    }

    /// Uniform in [0, 1), a multiple of 2^-24.
    constexpr float uniform_float() noexcept { return static_cast<float>(next() >> 40) * 0x1p-24F; }

    /// Uniform in [0, 1), a multiple of 2^-53.
    constexpr double uniform_double() noexcept {
        return static_cast<double>(next() >> 11) * 0x1p-53;
    }

    /// Puts data[0 .. count) into a uniformly random order.
    template <class T>
    constexpr void shuffle(T* data, std::size_t count) noexcept {
        for (std::size_t i = count; i > 1; --i) {
            std::swap(data[i - 1], data[static_cast<std::size_t>(below(i))]);
        }
    }

private:
    static constexpr std::uint64_t rotate_left(std::uint64_t x, int bits) noexcept {
        return (x << bits) | (x >> (64 - bits));
    }

    std::array<std::uint64_t, 4> words_{};
};

}  // namespace nearfield
