// CRC32C against the vectors of RFC 3720 B.4, the bitwise definition and itself in pieces.
#include "io/crc32c.h"

#include <cstring>
#include <vector>

#include "check.h"

using nearfield::io::crc32c;
using nearfield::io::detail::crc32c_portable;

namespace {

std::uint32_t bitwise(const unsigned char* p, std::size_t size) {
    std::uint32_t crc = 0xffffffffu;
    for (std::size_t i = 0; i < size; ++i) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0x82f63b78u : 0u);
        }
    }
    return ~crc;
}

}  // namespace

TEST(vectors) {
    unsigned char data[32];
    std::memset(data, 0, sizeof data);
    CHECK(crc32c(data, 32) == 0x8a9136aau);
    std::memset(data, 0xff, sizeof data);
    CHECK(crc32c(data, 32) == 0x62a8ab43u);
    for (unsigned i = 0; i < 32; ++i) {
        data[i] = static_cast<unsigned char>(i);
    }
    CHECK(crc32c(data, 32) == 0x46dd794eu);
    for (unsigned i = 0; i < 32; ++i) {
        data[i] = static_cast<unsigned char>(31 - i);
    }
    CHECK(crc32c(data, 32) == 0x113fdb5cu);
    CHECK(crc32c("123456789", 9) == 0xe3069283u);
    CHECK(crc32c(nullptr, 0) == 0);
    CHECK(crc32c(nullptr, 0, 7) == 7);
}

TEST(every_length_and_split) {
    std::vector<unsigned char> data(40000);
    std::uint32_t state = 1;
    for (unsigned char& byte : data) {
        state = state * 1664525u + 1013904223u;
        byte = static_cast<unsigned char>(state >> 24);
    }
    for (std::size_t size = 0; size < data.size(); size += size < 300 ? 1 : 1237) {
        for (std::size_t start = 0; start < 9 && start + size <= data.size(); ++start) {
            const unsigned char* p = data.data() + start;
            const std::uint32_t expected = bitwise(p, size);
            CHECK(crc32c(p, size) == expected);
            CHECK(crc32c_portable(p, size, 0) == expected);
            const std::size_t cut = size * 2 / 3;
            CHECK(crc32c(p + cut, size - cut, crc32c(p, cut)) == expected);
        }
    }
}
