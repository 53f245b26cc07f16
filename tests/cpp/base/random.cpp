#include "base/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "check.h"

using nearfield::Random;

TEST(splitmix_matches_its_published_sequence) {
    std::uint64_t state = 1234567;
    CHECK_EQ(nearfield::splitmix64(state), 6457827717110365317ULL);
    CHECK_EQ(nearfield::splitmix64(state), 3203168211198807973ULL);
    CHECK_EQ(nearfield::splitmix64(state), 9817491932198370423ULL);
}

TEST(equal_seeds_repeat_and_others_do_not) {
    static_assert(Random(5, 2).next() == Random(5, 2).next());
    Random one(5, 2);
    Random same(5, 2);
    Random stream(5, 3);
    Random seed(6, 2);
    int collisions = 0;
    for (int i = 0; i < 1000; ++i) {
        const std::uint64_t value = one.next();
        CHECK_EQ(value, same.next());
        collisions += value == stream.next() ? 1 : 0;
        collisions += value == seed.next() ? 1 : 0;
    }
    CHECK_EQ(collisions, 0);
}

TEST(below_is_uniform_and_in_range) {
    Random random(11);
    constexpr int kDraws = 120'000;
    for (const std::uint64_t bound : {1U, 2U, 3U, 7U, 12U}) {
        std::array<int, 12> seen{};
        for (int i = 0; i < kDraws; ++i) {
            const std::uint64_t value = random.below(bound);
            CHECK(value < bound);
            ++seen[static_cast<std::size_t>(value)];
        }
        const double expected = kDraws / static_cast<double>(bound);
        for (std::size_t value = 0; value < bound; ++value) {
            CHECK(std::abs(seen[value] - expected) <= 6 * std::sqrt(expected));
        }
    }
    // Three quarters of 2^64: a remainder would favour the lower third by a factor of two.
    constexpr std::uint64_t kWide = 3ULL << 62;
    int low = 0;
    for (int i = 0; i < kDraws; ++i) {
        const std::uint64_t value = random.below(kWide);
        CHECK(value < kWide);
        low += value < kWide / 3 ? 1 : 0;
    }
    CHECK(std::abs(low - kDraws / 3.0) <= 6 * std::sqrt(kDraws / 3.0));
}

TEST(floats_fill_the_unit_interval) {
    Random random(3);
    double sum = 0;
    for (int i = 0; i < 100'000; ++i) {
        const float single = random.uniform_float();
        const double wide = random.uniform_double();
        CHECK(single >= 0 && single < 1 && wide >= 0 && wide < 1);
        sum += static_cast<double>(single) + wide;
    }
    CHECK(std::abs(sum / 200'000 - 0.5) < 0.005);
}

TEST(shuffle_permutes_evenly) {
    Random random(4);
    std::array<std::array<int, 4>, 4> places{};
    for (int round = 0; round < 24'000; ++round) {
        std::vector<std::size_t> values(4);
        std::iota(values.begin(), values.end(), std::size_t{0});
        random.shuffle(values.data(), values.size());
        for (std::size_t i = 0; i < 4; ++i) {
            ++places[i][values[i]];
        }
        std::sort(values.begin(), values.end());
        for (std::size_t i = 0; i < 4; ++i) {
            CHECK_EQ(values[i], i);
        }
    }
    for (const auto& place : places) {
        for (const int count : place) {
            CHECK(std::abs(count - 6000) < 6 * 78);
        }
    }
    random.shuffle(static_cast<int*>(nullptr), 0);
}
