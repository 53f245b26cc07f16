// Column: an append-only array that readers share.
//
// A copy of a Column is a snapshot: it shares the memory and sees the bytes used when it was taken.
// The one writer appends past that, in place while capacity lasts, else into a larger block; the old
// block lives as long as a snapshot holds it. So searches never wait for adds.
// A failed add simply never publishes its snapshot.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "base/buffer.h"

namespace nearfield {

class Column {
public:
    Column() = default;
    /// Takes `used` bytes of a buffer as they are (a loaded file's section, for one).
    explicit Column(Buffer buffer)
        : used_(buffer.size()), block_(std::make_shared<Buffer>(std::move(buffer))) {
        writable_ = block_->owned();
        data_ = static_cast<const Buffer&>(*block_).data();
    }

    const std::uint8_t* data() const noexcept { return data_; }
    template <class T>
    const T* as() const noexcept {
        return reinterpret_cast<const T*>(data_);
    }
    std::size_t bytes() const noexcept { return used_; }

    /// Room for `bytes` more, unspecified content. Other snapshots do not see it.
    std::uint8_t* extend(std::size_t bytes) {
        const std::size_t need = used_ + bytes;
        if (!writable_ || block_ == nullptr || need > block_->size()) {
            const std::size_t half_more = used_ + used_ / 2;
            auto larger = std::make_shared<Buffer>(std::max(need, used_ == 0 ? 0 : half_more));
            if (used_ != 0) std::memcpy(larger->data(), data_, used_);
            block_ = std::move(larger);
            data_ = static_cast<const Buffer&>(*block_).data();
            writable_ = true;
        }
        std::uint8_t* end = block_->data() + used_;
        used_ = need;
        return end;
    }

private:
    std::size_t used_ = 0;
    std::shared_ptr<Buffer> block_;
    const std::uint8_t* data_ = nullptr;
    bool writable_ = false;
};

}  // namespace nearfield
