// Memory between two pages that nobody may touch: an access before the first or past the last byte of
// an array ends the program. back() puts an array against the page behind it (its start is then aligned
// to its element only), front() against the page before it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace guarded {

class Arena {
public:
    explicit Arena(std::size_t bytes) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        size_ = (bytes + page - 1) / page * page;
        total_ = size_ + 2 * page;
        base_ = mmap(nullptr, total_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base_ == MAP_FAILED) throw std::bad_alloc();
        begin_ = static_cast<std::uint8_t*>(base_) + page;
        if (mprotect(begin_, size_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    }
    ~Arena() { munmap(base_, total_); }
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    template <class T>
    T* front() {
        return reinterpret_cast<T*>(begin_);
    }
    template <class T>
    T* back(std::size_t count) {
        return reinterpret_cast<T*>(begin_ + size_ - count * sizeof(T));
    }
    template <class T>
    T* at(bool at_back, std::size_t count) {
        return at_back ? back<T>(count) : front<T>();
    }

private:
    std::size_t size_ = 0;
    std::size_t total_ = 0;
    void* base_ = nullptr;
    std::uint8_t* begin_ = nullptr;
};

}  // namespace guarded
