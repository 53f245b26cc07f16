// Damage without intent: every bit flipped, every truncation, extensions, random bytes.
#include <algorithm>
#include <random>

#include "check.h"
#include "sample.h"

using namespace nearfield;
using namespace nearfield::io;

TEST(every_bit_flip) {
    Bytes bytes = Sample().bytes();
    CHECK(!is_refused(bytes, true));
    std::size_t undetected = 0;
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        bytes[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
        undetected += !is_refused(bytes, true);
        bytes[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
    }
    CHECK(undetected == 0);
}

TEST(without_verify_only_contents_pass) {
    Bytes bytes = Sample().bytes();
    const Archive archive = open_bytes(bytes, false);
    std::vector<bool> content(bytes.size());
    for (const Section& section : archive.sections()) {
        for (std::size_t i = 0; i < section.data.size(); ++i) {
            content[section.offset + i] = true;
        }
    }
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] ^= 0x10;
        CHECK(is_refused(bytes, false) == !content[i]);
        bytes[i] ^= 0x10;
    }
}

TEST(every_truncation) {
    const Bytes bytes = Sample().bytes();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(is_refused(cut, true));
        CHECK(is_refused(cut, false));
    }
}

TEST(extensions) {
    const Bytes bytes = Sample().bytes();
    for (std::size_t more = 1; more <= 4096; ++more) {
        for (const int filler : {0x00, 0xff, -1}) {
            Bytes longer = bytes;
            longer.resize(bytes.size() + more, static_cast<unsigned char>(filler & 0xff));
            if (filler < 0) {
                std::copy_n(bytes.begin(), std::min(more, bytes.size()),
                            longer.begin() + static_cast<std::ptrdiff_t>(bytes.size()));
            }
            CHECK(is_refused(longer, false));
        }
    }
}

TEST(random_mutations) {
    std::mt19937_64 random(7);
    const Bytes bytes = Sample(9, 5).bytes();
    for (int round = 0; round < 100000; ++round) {
        Bytes mutant = bytes;
        const std::size_t changes = 1 + random() % 8;
        for (std::size_t i = 0; i < changes; ++i) {
            mutant[random() % mutant.size()] = static_cast<unsigned char>(random());
        }
        CHECK(mutant == bytes || is_refused(mutant, true));
    }
}

TEST(messages_name_the_place) {
    Bytes bytes = Sample().bytes();
    bytes[5000] ^= 1;
    try {
        open_bytes(bytes, true);
        CHECK(false);
    } catch (const CorruptFile& error) {
        const std::string message = error.what();
        CHECK(message.find("section 1 (rows, type 2)") != std::string::npos);
        CHECK(message.find("offset 4096") != std::string::npos);
        CHECK(message.find("sample") != std::string::npos);
    }
}
