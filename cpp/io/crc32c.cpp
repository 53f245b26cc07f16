#include "io/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace nearfield::io {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41 with its bits reversed

using Table = std::array<std::uint32_t, 256>;

// kTables[j][b]: what byte b contributes after j further zero bytes.
constexpr std::array<Table, 8> make_tables() {
    std::array<Table, 8> tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1u) != 0 ? kPolynomial : 0u);
        }
        tables[0][byte] = crc;
    }
    for (std::size_t j = 1; j < 8; ++j) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t before = tables[j - 1][byte];
            tables[j][byte] = (before >> 8) ^ tables[0][before & 0xff];
        }
    }
    return tables;
}

constexpr std::array<Table, 8> kTables = make_tables();

std::uint32_t table_step(std::uint32_t state, unsigned char byte) noexcept {
    return (state >> 8) ^ kTables[0][(state ^ byte) & 0xff];
}

#if defined(__x86_64__)

// The chains are long enough that folding them together costs next to nothing, and three times
// their length stays in the first-level cache.
constexpr std::size_t kChain = 4096;

// Advancing a CRC state over kChain zero bytes is a linear map, here split by the state's bytes.
struct Advance {
    std::array<Table, 4> tables{};

    constexpr Advance() {
        std::array<std::uint32_t, 32> images{};  // of the 32 unit vectors
        for (std::size_t bit = 0; bit < 32; ++bit) {
            std::uint32_t state = 1u << bit;
            state = (state >> 8) ^ kTables[0][state & 0xff];
            images[bit] = state;
        }
        // Squaring the map log2(kChain) times turns one byte into kChain bytes.
        for (std::size_t length = 1; length < kChain; length *= 2) {
            std::array<std::uint32_t, 32> squared{};
            for (std::size_t bit = 0; bit < 32; ++bit) {
                squared[bit] = apply(images, images[bit]);
            }
            images = squared;
        }
        for (std::size_t part = 0; part < 4; ++part) {
            for (std::uint32_t byte = 0; byte < 256; ++byte) {
                tables[part][byte] = apply(images, byte << (8 * part));
            }
        }
    }

    static constexpr std::uint32_t apply(const std::array<std::uint32_t, 32>& images,
                                         std::uint32_t state) {
        std::uint32_t result = 0;
        for (std::size_t bit = 0; bit < 32; ++bit) {
            if ((state >> bit & 1u) != 0) {
                result ^= images[bit];
            }
        }
        return result;
    }

    std::uint32_t operator()(std::uint32_t state) const noexcept {
        return tables[0][state & 0xff] ^ tables[1][state >> 8 & 0xff] ^
               tables[2][state >> 16 & 0xff] ^ tables[3][state >> 24];
    }
};

constexpr Advance kAdvance;

std::uint64_t load_u64(const unsigned char* p) noexcept {
    std::uint64_t word;
    std::memcpy(&word, p, sizeof word);
    return word;
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(const void* data, std::size_t size,
                                                             std::uint32_t crc) noexcept {
    const auto* p = static_cast<const unsigned char*>(data);
    std::uint64_t a = ~crc & 0xffffffffu;
    for (; size >= 3 * kChain; size -= 3 * kChain, p += 3 * kChain) {
        std::uint64_t b = 0;
        std::uint64_t c = 0;
        for (std::size_t i = 0; i < kChain; i += 8) {
            a = _mm_crc32_u64(a, load_u64(p + i));
            b = _mm_crc32_u64(b, load_u64(p + kChain + i));
            c = _mm_crc32_u64(c, load_u64(p + 2 * kChain + i));
        }
        const std::uint32_t ab =
            kAdvance(static_cast<std::uint32_t>(a)) ^ static_cast<std::uint32_t>(b);
        a = kAdvance(ab) ^ c;
    }
    for (; size >= 8; size -= 8, p += 8) {
        a = _mm_crc32_u64(a, load_u64(p));
    }
    auto state = static_cast<std::uint32_t>(a);
    for (; size > 0; --size, ++p) {
        state = _mm_crc32_u8(state, *p);
    }
    return ~state;
}

#endif

using Function = std::uint32_t (*)(const void*, std::size_t, std::uint32_t) noexcept;

Function resolve() noexcept {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return crc32c_sse42;
    }
#endif
    return detail::crc32c_portable;
}

}  // namespace

std::uint32_t detail::crc32c_portable(const void* data, std::size_t size,
                                      std::uint32_t crc) noexcept {
    const auto* p = static_cast<const unsigned char*>(data);
    std::uint32_t state = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        const std::uint32_t low = state ^ (std::uint32_t{p[0]} | std::uint32_t{p[1]} << 8 |
                                           std::uint32_t{p[2]} << 16 | std::uint32_t{p[3]} << 24);
        state = kTables[7][low & 0xff] ^ kTables[6][low >> 8 & 0xff] ^
                kTables[5][low >> 16 & 0xff] ^ kTables[4][low >> 24] ^ kTables[3][p[4]] ^
                kTables[2][p[5]] ^ kTables[1][p[6]] ^ kTables[0][p[7]];
    }
    for (; size > 0; --size, ++p) {
        state = table_step(state, *p);
    }
    return ~state;
}

std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t crc) noexcept {
    static const Function function = resolve();
    return function(data, size, crc);
}

}  // namespace nearfield::io
