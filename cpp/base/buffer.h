// Buffer: the only owner of bulk memory. Large blocks are huge-page aligned mappings that grow by
// moving page tables instead of bytes; small ones come from operator new.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace nearfield {

class Buffer {
public:
    /// Every block starts on a cache line, which is also the widest vector.
    static constexpr std::size_t kAlignment = 64;
    /// Readable zero bytes past size() of an owned buffer, so that kernels load whole vectors.
    static constexpr std::size_t kPadding = 64;
    /// Blocks of at least this many bytes are mapped and aligned to it.
    static constexpr std::size_t kHugePage = std::size_t{2} << 20;

    /// `bytes` zero bytes.
    explicit Buffer(std::size_t bytes = 0);
    ~Buffer();
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&& other) noexcept;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    /// A read-only view of memory that `keep_alive` owns. Neither the alignment nor the padding
    /// of an owned buffer is promised: both are whatever the lender provides.
    static Buffer borrow(const void* data, std::size_t bytes,
                         std::shared_ptr<const void> keep_alive);

    /// Throws std::logic_error on a borrowed buffer.
    std::uint8_t* data();
    const std::uint8_t* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    std::size_t capacity() const noexcept { return capacity_; }
    bool owned() const noexcept { return owned_; }

    /// Keeps the content; new bytes are zero; growth is amortised (x1.5). Pointers are invalidated
    /// by growth. Strong guarantee: std::bad_alloc leaves the buffer as it was.
    void resize(std::size_t bytes);
    void reserve(std::size_t bytes);

    template <class T>
    T* as() {
        return reinterpret_cast<T*>(data());
    }
    template <class T>
    const T* as() const noexcept {
        return reinterpret_cast<const T*>(data());
    }

private:
    void require_owned(const char* operation) const;
    void grow_to(std::size_t capacity);
    void release() noexcept;
    void forget() noexcept;

    std::uint8_t* data_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
    std::size_t mapped_ = 0;     // length of the mapping; 0 when the block is not a mapping
    std::size_t zero_from_ = 0;  // bytes from here to the end of the block are known to be zero
    bool owned_ = true;
    std::shared_ptr<const void> keep_alive_;
};

}  // namespace nearfield
