#include "base/buffer.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/random.h"
#include "check.h"

using nearfield::Buffer;

namespace {

const Buffer& readable(const Buffer& buffer) { return buffer; }

bool aligned(const Buffer& buffer, std::size_t to) {
    return reinterpret_cast<std::uintptr_t>(buffer.data()) % to == 0;
}

bool all_zero(const std::uint8_t* begin, std::size_t count) {
    return std::all_of(begin, begin + count, [](std::uint8_t byte) { return byte == 0; });
}

bool padded(const Buffer& buffer) {
    return all_zero(buffer.data() + buffer.size(), Buffer::kPadding);
}

void fill(Buffer& buffer, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
        buffer.data()[i] = static_cast<std::uint8_t>(i * 7 + 1);
    }
}

bool filled(const Buffer& buffer, std::size_t end) {
    for (std::size_t i = 0; i < end; ++i) {
        if (buffer.data()[i] != static_cast<std::uint8_t>(i * 7 + 1)) {
            return false;
        }
    }
    return true;
}

}  // namespace

TEST(new_buffers_are_aligned_zeroed_and_padded) {
    for (const std::size_t bytes :
         {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{1000},
          Buffer::kHugePage - 64, Buffer::kHugePage, Buffer::kHugePage * 3 + 5}) {
        const Buffer buffer(bytes);
        CHECK(buffer.data() != nullptr);
        CHECK_EQ(buffer.size(), bytes);
        CHECK(buffer.capacity() >= bytes);
        CHECK(aligned(buffer, bytes >= Buffer::kHugePage ? Buffer::kHugePage : 64));
        CHECK(all_zero(buffer.data(), bytes + Buffer::kPadding));
        CHECK(buffer.owned());
    }
}

TEST(growth_keeps_content_across_every_kind_of_block) {
    Buffer buffer;
    std::size_t used = 0;
    int moves = 0;
    while (used < 9 * Buffer::kHugePage) {
        const std::size_t next = used + used / 3 + 1;
        const std::uint8_t* const before = readable(buffer).data();
        buffer.resize(next);
        moves += before != readable(buffer).data() ? 1 : 0;
        CHECK(all_zero(readable(buffer).data() + used, next - used));
        CHECK(padded(buffer));
        fill(buffer, used, next);
        used = next;
        CHECK(buffer.capacity() < Buffer::kHugePage || aligned(buffer, Buffer::kHugePage));
    }
    CHECK(filled(buffer, used));
    CHECK(moves < 60);
}

TEST(growth_is_amortised) {
    Buffer buffer;
    int moves = 0;
    for (std::size_t size = 1; size <= 200'000; ++size) {
        const std::size_t before = buffer.capacity();
        buffer.resize(size);
        moves += buffer.capacity() != before ? 1 : 0;
    }
    CHECK(moves <= 25);
}

TEST(shrinking_and_growing_again_shows_zeros) {
    nearfield::Random random(7);
    for (const std::size_t most : {std::size_t{300}, Buffer::kHugePage + 4096}) {
        Buffer buffer(most);
        std::size_t size = most;
        for (int step = 0; step < 200; ++step) {
            std::fill_n(buffer.data(), size, std::uint8_t{0xff});
            const auto next = static_cast<std::size_t>(random.below(most + 1));
            buffer.resize(next);
            CHECK(padded(buffer));
            if (next > size) {
                CHECK(all_zero(readable(buffer).data() + size, next - size));
            }
            size = next;
        }
    }
}

TEST(reserve_keeps_the_address_until_the_capacity_is_used) {
    Buffer buffer(10);
    buffer.reserve(5 * Buffer::kHugePage);
    CHECK_EQ(buffer.size(), 10U);
    const std::uint8_t* const address = readable(buffer).data();
    buffer.resize(5 * Buffer::kHugePage);
    CHECK(readable(buffer).data() == address);
}

TEST(moves_hand_over_and_leave_an_empty_buffer) {
    for (const std::size_t bytes : {std::size_t{100}, 2 * Buffer::kHugePage}) {
        Buffer first(bytes);
        fill(first, 0, bytes);
        const std::uint8_t* const address = readable(first).data();
        Buffer second(std::move(first));
        CHECK(readable(second).data() == address);
        CHECK_EQ(first.size(), 0U);
        CHECK(padded(first));
        first.resize(40);
        first = std::move(second);
        CHECK(filled(first, bytes));
        Buffer& same = first;
        first = std::move(same);
        CHECK(filled(first, bytes));
    }
}

TEST(borrowed_buffers_are_read_only_and_keep_their_lender) {
    auto lender = std::make_shared<std::vector<std::uint8_t>>(500, std::uint8_t{9});
    const std::weak_ptr<std::vector<std::uint8_t>> watch = lender;
    {
        const void* const bytes = lender->data();
        Buffer view = Buffer::borrow(bytes, 500, std::move(lender));
        CHECK(!view.owned());
        CHECK(readable(view).data() == bytes);
        CHECK_EQ(view.size(), 500U);
        CHECK_EQ(int{readable(view).as<std::uint8_t>()[499]}, 9);
        CHECK_THROWS(std::logic_error, view.data());
        CHECK_THROWS(std::logic_error, view.as<float>());
        CHECK_THROWS(std::logic_error, view.resize(1));
        CHECK_THROWS(std::logic_error, view.reserve(1));
        Buffer moved = std::move(view);
        CHECK(!moved.owned());
        CHECK(view.owned());
        CHECK(!watch.expired());
        moved = Buffer(3);
        CHECK(moved.owned());
        CHECK(watch.expired());
    }
    CHECK_THROWS(std::invalid_argument, Buffer::borrow(nullptr, 4, nullptr));
    CHECK_EQ(Buffer::borrow(nullptr, 0, nullptr).size(), 0U);
}

TEST(impossible_sizes_throw_and_change_nothing) {
    for (const std::size_t bytes : {std::size_t{100}, 2 * Buffer::kHugePage}) {
        Buffer buffer(bytes);
        fill(buffer, 0, bytes);
        const std::uint8_t* const address = readable(buffer).data();
        constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
        for (const std::size_t size : {kMost, kMost - 64, kMost / 2, kMost / 2 - 4'194'304 * 2}) {
            CHECK_THROWS(std::bad_alloc, buffer.resize(size));
            CHECK_THROWS(std::bad_alloc, buffer.reserve(size));
            CHECK_THROWS(std::bad_alloc, Buffer(size));
        }
        CHECK_EQ(buffer.size(), bytes);
        CHECK(readable(buffer).data() == address);
        CHECK(filled(buffer, bytes));
    }
}
