#include "base/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/types.h"

namespace nearfield {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMaxBytes =
    static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) - 2 * Buffer::kHugePage;

// What an empty buffer points to: non-null, aligned and padded like every other block.
alignas(Buffer::kAlignment) std::uint8_t empty_block[Buffer::kPadding] = {};

/// Reserves `length` bytes on a huge-page boundary by trimming a larger mapping.
std::uint8_t* map_aligned(std::size_t length, int protection) {
    const std::size_t reserved = length + Buffer::kHugePage;
    void* const raw = ::mmap(nullptr, reserved, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) {
        throw std::bad_alloc();
    }
    auto* const begin = static_cast<std::uint8_t*>(raw);
    const std::size_t head =
        (Buffer::kHugePage - reinterpret_cast<std::uintptr_t>(begin) % Buffer::kHugePage) %
        Buffer::kHugePage;
    if (head != 0) {
        ::munmap(begin, head);
    }
    if (const std::size_t tail = reserved - head - length; tail != 0) {
        ::munmap(begin + head + length, tail);
    }
    return begin + head;
}

std::uint8_t* map_block(std::size_t length) {
    std::uint8_t* const block = map_aligned(length, PROT_READ | PROT_WRITE);
#ifdef MADV_HUGEPAGE
    ::madvise(block, length, MADV_HUGEPAGE);  // advice only: a refusal costs speed, nothing else
#endif
    return block;
}

/// Moves the pages of a mapping to a larger aligned one without copying; nullptr where the
/// system cannot.
std::uint8_t* remap_block(std::uint8_t* old, std::size_t old_length, std::size_t length) {
#ifdef MREMAP_FIXED
    std::uint8_t* const target = map_aligned(length, PROT_NONE);
    void* moved = ::mremap(old, old_length, length, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    if (moved != MAP_FAILED) {
        return static_cast<std::uint8_t*>(moved);
    }
    ::munmap(target, length);
#else
    static_cast<void>(old);
    static_cast<void>(old_length);
    static_cast<void>(length);
#endif
    return nullptr;
}

}  // namespace

Buffer::Buffer(std::size_t bytes) : data_(empty_block) {
    if (bytes != 0) {
        grow_to(bytes);
        size_ = bytes;
        zero_from_ = bytes;
    }
}

Buffer::~Buffer() { release(); }

Buffer::Buffer(Buffer&& other) noexcept
    : data_(other.data_),
      size_(other.size_),
      capacity_(other.capacity_),
      mapped_(other.mapped_),
      zero_from_(other.zero_from_),
      owned_(other.owned_),
      keep_alive_(std::move(other.keep_alive_)) {
    other.forget();
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    if (this != &other) {
        release();
        data_ = other.data_;
        size_ = other.size_;
        capacity_ = other.capacity_;
        mapped_ = other.mapped_;
        zero_from_ = other.zero_from_;
        owned_ = other.owned_;
        keep_alive_ = std::move(other.keep_alive_);
        other.forget();
    }
    return *this;
}

Buffer Buffer::borrow(const void* data, std::size_t bytes, std::shared_ptr<const void> keep_alive) {
    Buffer view;
    if (data == nullptr && bytes != 0) {
        throw std::invalid_argument("Buffer::borrow got a null pointer for " +
                                    std::to_string(bytes) + " bytes");
    }
    if (data != nullptr) {
        // Never written through: data() and resize() refuse borrowed buffers.
        view.data_ = static_cast<std::uint8_t*>(const_cast<void*>(data));
    }
    view.size_ = bytes;
    view.capacity_ = bytes;
    view.owned_ = false;
    view.keep_alive_ = std::move(keep_alive);
    return view;
}

std::uint8_t* Buffer::data() {
    require_owned("write access");
    return data_;
}

void Buffer::resize(std::size_t bytes) {
    require_owned("resize");
    if (bytes > capacity_) {
        const std::size_t amortised = capacity_ < kMaxBytes / 2 ? capacity_ + capacity_ / 2 : 0;
        grow_to(std::max(bytes, amortised));
    }
    // Only bytes that were in use before can be dirty: those between the smaller size and
    // zero_from_, as far as the new size and its padding reach.
    const std::size_t first = std::min(size_, bytes);
    const std::size_t last = std::min(bytes + kPadding, zero_from_);
    if (first < last) {
        std::memset(data_ + first, 0, last - first);
    }
    size_ = bytes;
    zero_from_ = std::max(zero_from_, bytes);
}

void Buffer::reserve(std::size_t bytes) {
    require_owned("reserve");
    if (bytes > capacity_) {
        grow_to(bytes);
    }
}

void Buffer::require_owned(const char* operation) const {
    if (!owned_) {
        throw std::logic_error(std::string(operation) + " on a borrowed read-only Buffer of " +
                               std::to_string(size_) + " bytes; copy it into an owned one first");
    }
}

void Buffer::grow_to(std::size_t capacity) {
    if (capacity > kMaxBytes) {
        throw std::bad_array_new_length();
    }
    const std::size_t wanted = round_up(capacity + kPadding, kAlignment);
    if (wanted < kHugePage) {
        auto* const block =
            static_cast<std::uint8_t*>(::operator new(wanted, std::align_val_t{kAlignment}));
        std::memcpy(block, data_, size_);
        std::memset(block + size_, 0, wanted - size_);
        release();
        data_ = block;
        capacity_ = wanted - kPadding;
        zero_from_ = size_;
        return;
    }
    const std::size_t length = round_up(wanted, kPage);
    std::uint8_t* block = mapped_ != 0 ? remap_block(data_, mapped_, length) : nullptr;
    if (block == nullptr) {
        block = map_block(length);
        std::memcpy(block, data_, size_);
        release();
        zero_from_ = size_;
    }
    data_ = block;
    mapped_ = length;
    capacity_ = length - kPadding;
}

void Buffer::release() noexcept {
    if (mapped_ != 0) {
        ::munmap(data_, mapped_);
    } else if (owned_ && capacity_ != 0) {
        ::operator delete(data_, std::align_val_t{kAlignment});
    }
    mapped_ = 0;
}

void Buffer::forget() noexcept {
    data_ = empty_block;
    size_ = capacity_ = mapped_ = zero_from_ = 0;
    owned_ = true;
    keep_alive_.reset();
}

}  // namespace nearfield
